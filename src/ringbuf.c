/* SPDX-License-Identifier: MIT */
/* Readers of ring buffers.
 *
 * A reader maps the rings itself, and reads records where they lie or from a copy on the stack. A record counts as
 * consumed before its handler runs, so an error in the handler leaves through poll as any other, nothing is delivered
 * twice, and a handler may poll, add or close as it likes. The kernel sees our position now and then and whenever a
 * ring is empty: only then does it wake us for the next record. The mappings keep the rings alive, whatever becomes of
 * map and object. */
#include "ringbuf.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <linux/bpf.h>

#include "arg.h"
#include "btf.h"
#include "codec.h"
#include "err.h"
#include "map.h"

#define STORE_EVERY (64u << 10) /* bytes after which the kernel is told where we are */

struct ring {
	_Atomic unsigned long *consumer; /* the page that we write */
	uint8_t *producer;		 /* the page that the kernel writes, and the data behind it, twice in a row */
	uint8_t *data;
	size_t size; /* of the data: a power of two */
	unsigned long pos, stored;
	const struct lbpf_type *type;
	bool unpack, into;
};

struct reader {
	struct lbpf_head head;
	int epoll; /* -1: closed */
	uint32_t count, room;
	uint32_t turn;	   /* where events() looks first */
	struct ring *ring; /* kept by a user value */
};

/* User values: memory of the rings; for each ring its handler, type and table to fill. */
enum { READER_RINGS = 1, READER_REFS };

enum { REF_HANDLER, REF_TYPE, REF_INTO, REFS };

static void reader_init(void *self)
{
	((struct reader *)self)->epoll = -1;
}

static void ring_unmap(struct ring *ring, size_t page)
{
	if (ring->consumer)
		munmap((void *)(uintptr_t)ring->consumer, page);
	if (ring->producer)
		munmap(ring->producer, page + 2 * ring->size);
	ring->consumer = NULL;
	ring->producer = NULL;
}

static void reader_unmap(struct reader *r)
{
	for (uint32_t i = 0; i < r->count; i++)
		ring_unmap(&r->ring[i], (size_t)sysconf(_SC_PAGESIZE));
	r->count = 0;
}

static void reader_release(lua_State *L, int idx, void *self)
{
	struct reader *r = self;
	int epoll = r->epoll;

	(void)L;
	(void)idx;
	r->epoll = -1;
	if (epoll >= 0)
		close(epoll);
	reader_unmap(r);
}

static const struct lbpf_class reader_class;

static struct reader *reader_check(lua_State *L)
{
	struct reader *r = lbpf_class_check(L, 1, &reader_class);

	if (lbpf_unlikely(r->epoll < 0))
		luaL_error(L, "ring buffer reader is closed");
	return r;
}

/* ---- adding rings ---- */

static void reader_reserve(lua_State *L, int idx, struct reader *r)
{
	while (r->count >= r->room) { /* allocating may run a finalizer that adds rings */
		uint32_t room = r->room ? 2 * r->room : 2;
		struct ring *more = lua_newuserdatauv(L, room * sizeof(*more), 0);

		if (r->count <= room) {
			if (r->count)
				memcpy(more, r->ring, r->count * sizeof(*more));
			lua_pushvalue(L, -1);
			lua_setiuservalue(L, idx, READER_RINGS);
			r->ring = more;
			r->room = room;
		}
		lua_pop(L, 1);
	}
}

/* Maps the ring into the reader's next place. Returns 0 or an errno; what is mapped is the reader's. */
static int ring_map(struct reader *r, const struct lbpf_map *map)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct ring *ring = &r->ring[r->count];
	struct epoll_event event = { .events = EPOLLIN };
	void *mem;
	int err;

	*ring = (struct ring){ .size = map->max_entries };
	if (ring->size > (SIZE_MAX - page) / 2)
		return E2BIG;
	mem = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, map->fd, 0);
	if (mem == MAP_FAILED)
		return errno;
	ring->consumer = mem;
	mem = mmap(NULL, page + 2 * ring->size, PROT_READ, MAP_SHARED, map->fd, (off_t)page);
	if (mem != MAP_FAILED) {
		ring->producer = mem;
		ring->data = ring->producer + page;
		ring->pos = ring->stored = atomic_load_explicit(ring->consumer, memory_order_acquire);
		if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, map->fd, &event) == 0) {
			r->count++;
			return 0;
		}
	}
	err = errno;
	ring_unmap(ring, page);
	return err;
}

struct form {
	bool unpack;
};

static const struct lbpf_option form_options[] = {
	{ "unpack", LBPF_OPT_BOOL, offsetof(struct form, unpack) },
	{ "into", LBPF_OPT_OTHER, 0 },
	{ NULL, LBPF_OPT_OTHER, 0 },
};

/* Pushes the table of option `into`, or nil. */
static bool push_into(lua_State *L, int idx, const struct lbpf_type *type, const struct form *form)
{
	if (lua_isnoneornil(L, idx)) {
		lua_pushnil(L);
		return false;
	}
	if (lua_getfield(L, idx, "into") == LUA_TNIL)
		return false;
	luaL_argcheck(L, lua_istable(L, -1) && type->node[0].kind >= LBPF_ARRAY && !form->unpack, idx,
		      "'into' takes a table, for structs and arrays, and not together with 'unpack'");
	return true;
}

/* Adds the ring that arguments from `first` on (map, type, handler, options) describe to the reader at idx. Returns 0
 * or how many values of failure were pushed. */
static int reader_add_ring(lua_State *L, int idx, struct reader *r, int first)
{
	struct lbpf_map *map = lbpf_map_check(L, first, 0, "ringbuf");
	struct form form = { false };
	struct lbpf_type *type;
	int err, refs;
	bool into;

	luaL_argcheck(L, map->type == BPF_MAP_TYPE_RINGBUF, first, "a map of type ringbuf expected");
	luaL_argexpected(L, lua_isnoneornil(L, first + 2) || lua_isfunction(L, first + 2), first + 2, "function");
	lbpf_arg_options(L, first + 3, form_options, &form, "ringbuf");
	lua_getiuservalue(L, idx, READER_REFS);
	refs = lua_gettop(L);
	type = lbpf_map_push_spec(L, first, first + 1, "event");
	into = push_into(L, first + 3, type, &form);
	reader_reserve(L, idx, r);
	lua_rawseti(L, refs, (lua_Integer)r->count * REFS + REF_INTO + 1);
	lua_rawseti(L, refs, (lua_Integer)r->count * REFS + REF_TYPE + 1);
	lua_pushvalue(L, first + 2);
	lua_rawseti(L, refs, (lua_Integer)r->count * REFS + REF_HANDLER + 1);
	if (r->epoll < 0)
		luaL_error(L, "ring buffer reader is closed");
	err = ring_map(r, map);
	if (err)
		return lbpf_err_push(L, err,
				     err == EPERM ? "refused; only one reader may write the ring's position" : NULL,
				     "map '%s': ringbuf", lbpf_map_label(map));
	r->ring[r->count - 1].type = type;
	r->ring[r->count - 1].unpack = form.unpack;
	r->ring[r->count - 1].into = into;
	lua_settop(L, refs - 1);
	return 0;
}

/*** Opens a reader of a ring buffer map.
@function bpf.ringbuf
@tparam bpf.map map of type ringbuf
@tparam ?string|integer|bpf.type type of the records: a name in the object's BTF or the kernel's, C text, or a size in
 bytes; nil gives the bytes
@tparam ?function handler called with each record by poll and consume; nil for a reader used by events only
@tparam ?table options
- unpack: true passes the members of a struct as values instead of a table: `function(pid, comm)`
- into: a table to fill with every record instead of making new ones
@treturn bpf.ringbuf the reader
@treturn nil,string,string on failure: EPERM, EMFILE, …
@since kernel 5.8 */
static int ringbuf_new(lua_State *L)
{
	struct reader *r;
	int n;

	lua_settop(L, 4);
	r = lbpf_class_new(L, &reader_class, sizeof(*r), 2);
	lua_newtable(L);
	lua_setiuservalue(L, 5, READER_REFS);
	r->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (r->epoll < 0)
		return lbpf_err_push(L, errno, NULL, "ringbuf");
	n = reader_add_ring(L, 5, r, 1);
	if (n)
		reader_release(L, 5, r);
	return n ? n : 1;
}

/*** Adds another ring buffer to the reader; the arguments are those of bpf.ringbuf.
@function ringbuf:add
@tparam bpf.map map
@tparam ?string|integer|bpf.type type
@tparam ?function handler
@tparam ?table options
@treturn bpf.ringbuf the reader itself
@treturn nil,string,string on failure */
static int ringbuf_add(lua_State *L)
{
	struct reader *r = reader_check(L);
	int n;

	lua_settop(L, 5);
	n = reader_add_ring(L, 1, r, 2);
	if (n)
		return n;
	lua_settop(L, 1);
	return 1;
}

/* ---- records ---- */

static inline unsigned long producer_pos(const struct ring *ring)
{
	return atomic_load_explicit((_Atomic unsigned long *)(void *)ring->producer, memory_order_acquire);
}

static void ring_store(struct ring *ring)
{
	if (ring->stored == ring->pos)
		return;
	ring->stored = ring->pos;
	atomic_store_explicit(ring->consumer, ring->pos, memory_order_release);
}

static inline void ring_store_if_due(struct ring *ring)
{
	if (ring->pos - ring->stored >= (ring->size / 8 < STORE_EVERY ? ring->size / 8 : STORE_EVERY))
		ring_store(ring);
}

struct record {
	const uint8_t *data;
	uint32_t len;
	unsigned long at; /* position of its header */
};

/* Takes the next record out of the ring, up to position end; false when there is none. The memory stays valid until
 * the position is stored. */
static inline bool ring_take(struct ring *ring, unsigned long end, struct record *rec)
{
	while ((long)(end - ring->pos) > 0) {
		uint8_t *header = ring->data + (ring->pos & (ring->size - 1));
		uint32_t len = atomic_load_explicit((_Atomic uint32_t *)(void *)header, memory_order_acquire);

		if (len & BPF_RINGBUF_BUSY_BIT)
			return false;
		rec->len = len & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
		rec->data = header + BPF_RINGBUF_HDR_SZ;
		rec->at = ring->pos;
		ring->pos += (rec->len + BPF_RINGBUF_HDR_SZ + 7) / 8 * 8;
		if (!(len & BPF_RINGBUF_DISCARD_BIT))
			return true;
	}
	return false;
}

/* Takes the next record of ring i for decoding. What becomes a table is copied first, for making tables may run a
 * finalizer that closes the reader or reads on. Records that don't fit in `small` get memory on the Lua stack. */
static bool take_record(lua_State *L, struct reader *r, uint32_t i, unsigned long end, struct record *rec, void *small)
{
	void *buf = small;
	size_t room = LBPF_SMALL;

	for (;;) {
		struct ring *ring = &r->ring[i];

		if (!ring_take(ring, end, rec))
			return false;
		if (ring->type->depth == 0)
			return true;
		if (rec->len <= room) {
			memcpy(buf, rec->data, rec->len);
			rec->data = buf;
			return true;
		}
		ring->pos = rec->at;
		room = rec->len;
		buf = lua_newuserdatauv(L, room, 0);
		if (r->epoll < 0)
			return false;
	}
}

/* Pushes a record in the ring's form and returns how many values that are. refs is the stack index of the refs. */
static int push_record(lua_State *L, const struct reader *r, uint32_t i, const struct record *rec, int refs)
{
	const struct ring *ring = &r->ring[i];

	lbpf_check_length(L, ring->type, rec->len, "event");
	if (ring->unpack)
		return lbpf_decode_unpack(L, ring->type, rec->data, rec->len);
	if (ring->into) {
		lua_rawgeti(L, refs, (lua_Integer)i * REFS + REF_INTO + 1);
		lbpf_decode_into(L, ring->type, rec->data, rec->len, -1);
		lua_remove(L, -2);
	} else {
		lbpf_decode(L, ring->type, rec->data, rec->len);
	}
	return 1;
}

/* Hands every record that is there now to the handler. Whatever the handler does to the reader, rings are found anew
 * after each call. */
static lua_Integer ring_consume(lua_State *L, struct reader *r, uint32_t i, int refs)
{
	struct ring *ring = &r->ring[i];
	unsigned long end = producer_pos(ring);
	_Alignas(8) char small[LBPF_SMALL];
	struct record rec;
	lua_Integer n = 0;
	int handler;

	if (lua_rawgeti(L, refs, (lua_Integer)i * REFS + REF_HANDLER + 1) != LUA_TFUNCTION)
		luaL_error(L, "this ring buffer has no handler: read it by events()");
	handler = lua_gettop(L);
	while (take_record(L, r, i, end, &rec, small)) {
		lua_pushvalue(L, handler);
		lua_call(L, push_record(L, r, i, &rec, refs), 0);
		lua_settop(L, handler);
		n++;
		if (lbpf_unlikely(r->epoll < 0))
			break;
		ring = &r->ring[i];
		ring_store_if_due(ring);
	}
	if (r->epoll >= 0)
		ring_store(&r->ring[i]);
	lua_settop(L, handler - 1);
	return n;
}

static lua_Integer reader_consume(lua_State *L, struct reader *r)
{
	lua_Integer n = 0;
	int refs;

	luaL_checkstack(L, 8, NULL);
	lua_getiuservalue(L, 1, READER_REFS);
	refs = lua_gettop(L);
	for (uint32_t i = 0; i < r->count; i++)
		n += ring_consume(L, r, i, refs);
	lua_settop(L, refs - 1);
	return n;
}

/* Whether a record came in after the last look. The kernel wakes us only for one that finds its position stored, so
 * nobody may sleep without having asked this after storing. */
static bool reader_missed(const struct reader *r)
{
	atomic_thread_fence(memory_order_seq_cst);
	for (uint32_t i = 0; i < r->count; i++)
		if (producer_pos(&r->ring[i]) != r->ring[i].pos) {
			struct ring look = r->ring[i];
			struct record rec;

			if (ring_take(&look, producer_pos(&look), &rec) || look.pos != r->ring[i].pos)
				return true;
		}
	return false;
}

/* Waits with a deadline, because what wakes us may be a record that was discarded. */
struct wait {
	int timeout; /* ms; -1: for ever */
	struct timespec start;
};

static struct wait wait_begin(int timeout_ms)
{
	struct wait wait = { .timeout = timeout_ms };

	clock_gettime(CLOCK_MONOTONIC, &wait.start);
	return wait;
}

/* The milliseconds that are left, rounded up. */
static int wait_left(const struct wait *wait)
{
	struct timespec now;
	int64_t gone;

	if (wait->timeout < 0)
		return -1;
	clock_gettime(CLOCK_MONOTONIC, &now);
	gone = (int64_t)(now.tv_sec - wait->start.tv_sec) * 1000 + (now.tv_nsec - wait->start.tv_nsec) / 1000000;
	return gone >= wait->timeout ? 0 : wait->timeout - (int)gone;
}

/* Sleeps until a record may be there or the time is over. Returns 0 or an errno. */
static int reader_wait(const struct reader *r, int timeout_ms)
{
	struct epoll_event events[8];

	if (reader_missed(r))
		return 0;
	return epoll_wait(r->epoll, events, sizeof(events) / sizeof(*events), timeout_ms) < 0 ? errno : 0;
}

static int timeout_arg(lua_State *L)
{
	return lua_isnoneornil(L, 2) ? -1 : (int)lbpf_arg_int(L, 2, -1, INT32_MAX);
}

static int reader_fail(lua_State *L, int err)
{
	return lbpf_err_push(L, err, err == EINTR ? "interrupted by a signal" : NULL, "ring buffer: poll");
}

/*** Hands the records that are there to their handlers; when there are none, waits for the first.
An error in a handler ends the call; its record counts as consumed, the rest stays for the next call. Raises for a ring
without handler: read that by events.
@function ringbuf:poll
@tparam ?integer timeout in milliseconds; 0 doesn't wait, -1 or nil waits for ever
@treturn integer how many records were handled, 0 when the time ran out
@treturn nil,string,string on failure: EINTR on a signal */
static int ringbuf_poll(lua_State *L)
{
	struct reader *r = reader_check(L);
	int left = timeout_arg(L), err;
	lua_Integer n = reader_consume(L, r);
	struct wait wait;

	if (!n && left)
		wait = wait_begin(left);
	while (!n && left && r->epoll >= 0) {
		err = reader_wait(r, left);
		if (err)
			return reader_fail(L, err);
		n = reader_consume(L, r);
		left = wait_left(&wait);
	}
	lua_pushinteger(L, n);
	return 1;
}

/*** Hands the records that are there to their handlers, without waiting. Raises for a ring without handler.
@function ringbuf:consume
@treturn integer how many records were handled */
static int ringbuf_consume(lua_State *L)
{
	lua_pushinteger(L, reader_consume(L, reader_check(L)));
	return 1;
}

/* Pushes the next record of any ring; returns the number of values, 0 when there is none. */
static int next_record(lua_State *L, struct reader *r)
{
	_Alignas(8) char small[LBPF_SMALL];
	struct record rec;

	lua_settop(L, 1);
	lua_getiuservalue(L, 1, READER_REFS);
	for (uint32_t n = 0; n < r->count; n++) {
		uint32_t i = (r->turn + n) % r->count;
		struct ring *ring = &r->ring[i];

		ring_store_if_due(ring);
		if (take_record(L, r, i, producer_pos(ring), &rec, small)) {
			r->turn = i + 1; /* the others come first then */
			return push_record(L, r, i, &rec, 2);
		}
		if (r->epoll < 0)
			return 0;
		ring_store(&r->ring[i]);
	}
	return 0;
}

/* The generic for calls this with the reader; the time-out is in the upvalue. */
static int events_next(lua_State *L)
{
	struct reader *r = reader_check(L);
	int left = (int)lua_tointeger(L, lua_upvalueindex(1)), n = next_record(L, r);
	struct wait wait;

	if (!n && left)
		wait = wait_begin(left);
	while (!n && left && reader_wait(r, left) == 0) {
		n = next_record(L, r);
		left = wait_left(&wait);
	}
	if (!n)
		lua_pushnil(L);
	return n ? n : 1;
}

/*** Iterates over records as they come: `for e in reader:events(1000) do`. Handlers are not called.
@function ringbuf:events
@tparam ?integer timeout in milliseconds to wait for the next record before the loop ends; -1 or nil for ever. A signal
 ends the loop as well
@treturn function iterator over records, or with `unpack` over their members */
static int ringbuf_events(lua_State *L)
{
	reader_check(L);
	lua_pushinteger(L, timeout_arg(L));
	lua_pushcclosure(L, events_next, 1);
	lua_pushvalue(L, 1);
	return 2;
}

/*** A descriptor for event loops: readable when a record is there. Then call consume.
@function ringbuf:fd
@treturn integer an epoll descriptor, which stays the reader's */
static int ringbuf_fd(lua_State *L)
{
	lua_pushinteger(L, reader_check(L)->epoll);
	return 1;
}

/*** Closes the reader; closing twice is fine, and so is closing in a handler.
@function ringbuf:close
@treturn true */
static int ringbuf_close(lua_State *L)
{
	return lbpf_class_close(L, &reader_class);
}

static int ringbuf_tostring(lua_State *L)
{
	struct reader *r = lbpf_class_check(L, 1, &reader_class);

	if (r->epoll < 0)
		lua_pushliteral(L, "bpf.ringbuf: (closed)");
	else
		lua_pushfstring(L, "bpf.ringbuf: %d ring%s (fd %d)", (int)r->count, r->count == 1 ? "" : "s", r->epoll);
	return 1;
}

static const luaL_Reg ringbuf_methods[] = {
	{ "add", ringbuf_add },
	{ "poll", ringbuf_poll },
	{ "consume", ringbuf_consume },
	{ "events", ringbuf_events },
	{ "fd", ringbuf_fd },
	{ "close", ringbuf_close },
	{ NULL, NULL },
};

static const luaL_Reg ringbuf_meta[] = {
	{ "__tostring", ringbuf_tostring },
	{ NULL, NULL },
};

static const struct lbpf_class reader_class = {
	.name = "bpf.ringbuf",
	.methods = ringbuf_methods,
	.meta = ringbuf_meta,
	.init = reader_init,
	.release = reader_release,
};

void lbpf_ringbuf_open(lua_State *L)
{
	lbpf_class_register(L, &reader_class);
	lua_pushcfunction(L, ringbuf_new);
	lua_setfield(L, -2, "ringbuf");
}
