/* SPDX-License-Identifier: MIT */
/* Readers of ring buffers.
 *
 * A ring's data is mapped twice in a row, so no record has an end elsewhere. The kernel wakes us only for a record that
 * finds our position stored. The mappings keep the rings alive, whatever becomes of map and object.
 *
 * Everybody who has the map can write our position, and so have the kernel overwrite records that we are reading. So
 * the length of a record is held against the kernel's position, which nobody else can write. */
#include "event/ringbuf.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/bpf.h>

#include "base/err.h"
#include "event/reader.h"
#include "map/map.h"

struct ring {
	struct lbpf_source source;
	void *consumer; /* the page that we write */
	void *producer; /* the page that the kernel writes, and the data behind it, twice in a row */
};

static void ring_release(struct lbpf_source *source, bool undo)
{
	struct ring *ring = (struct ring *)source;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	(void)undo;
	if (ring->consumer)
		munmap(ring->consumer, page);
	if (ring->producer)
		munmap(ring->producer, page + 2 * source->size);
}

/* Takes the next record out of the ring. */
static bool ring_take(struct lbpf_source *s, unsigned long end, struct lbpf_record *rec)
{
	while ((long)(end - s->pos) > 0) {
		const uint8_t *header = s->data + (s->pos & (s->size - 1));
		uint32_t len =
			atomic_load_explicit((const _Atomic uint32_t *)(const void *)header, memory_order_acquire);
		unsigned long room;

		if (len & BPF_RINGBUF_BUSY_BIT)
			return false;
		rec->len = rec->first = len & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
		room = (rec->len + BPF_RINGBUF_HDR_SZ + 7) / 8 * 8;
		if (lbpf_unlikely(room > end - s->pos))
			return lbpf_source_garbled(s, end, rec);
		rec->data = header + BPF_RINGBUF_HDR_SZ;
		rec->at = s->pos;
		rec->lost = 0;
		s->pos += room;
		if (!(len & BPF_RINGBUF_DISCARD_BIT))
			return true;
	}
	return false;
}

static const struct lbpf_class reader_class;

/* ---- adding rings ---- */

/* Maps the ring into the reader's next place. Returns 0 or an errno. */
static int ring_map(struct lbpf_reader *r, const struct lbpf_map *map, const struct lbpf_feed *feed)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct ring *ring = lbpf_reader_source(r, r->count);
	struct lbpf_source *s = &ring->source;
	void *mem;
	int err;

	*ring = (struct ring){ { .size = map->max_entries, .feed = *feed, .cpu = -1, .fd = map->fd }, NULL, NULL };
	if (s->size > (SIZE_MAX - page) / 2)
		return E2BIG;
	mem = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, map->fd, 0);
	if (mem == MAP_FAILED)
		return errno;
	ring->consumer = mem;
	s->tail = mem;
	mem = mmap(NULL, page + 2 * s->size, PROT_READ, MAP_SHARED, map->fd, (off_t)page);
	if (mem == MAP_FAILED) {
		err = errno;
	} else {
		ring->producer = mem;
		s->head = mem;
		s->data = (uint8_t *)mem + page;
		/* not what is there: the first look meets that, as it would what another reader has written */
		s->pos = s->stored = ~atomic_load_explicit(s->tail, memory_order_acquire);
		err = lbpf_reader_add(r);
	}
	if (err)
		ring_release(s, true);
	return err;
}

static const struct lbpf_option ring_options[] = {
	LBPF_READER_OPTIONS,
	{ NULL, LBPF_OPT_OTHER, 0 },
};

/* Adds the ring that arguments from `first` on (map, type, handler, options) describe to the reader at idx. Returns 0
 * or how many values of failure were pushed. */
static int reader_add_ring(lua_State *L, int idx, struct lbpf_reader *r, int first)
{
	struct lbpf_map *map = lbpf_map_check(L, first, 0, "ringbuf");
	struct lbpf_reader_options options = { false };
	struct lbpf_feed feed;
	int err;

	luaL_argcheck(L, map->type == BPF_MAP_TYPE_RINGBUF, first, "a map of type ringbuf expected");
	luaL_argexpected(L, lua_isnoneornil(L, first + 2) || lua_isfunction(L, first + 2), first + 2, "function");
	lbpf_arg_options(L, first + 3, ring_options, &options, "ringbuf");
	if (map->flags & LBPF_RB_OVERWRITE) /* the kernel may be more than a ring ahead, and write what is being read */
		return lbpf_err_push(L, EOPNOTSUPP, "a ring with the flag rb_overwrite can't be read in order",
				     "map '%s': ringbuf", lbpf_map_label(map));
	feed = lbpf_reader_feed(L, idx, first, &options);
	lbpf_reader_reserve(L, idx, r, 1);
	lbpf_reader_recheck(L, r);
	lbpf_map_check(L, first, 0, "ringbuf"); /* a finalizer may have closed it */
	err = ring_map(r, map, &feed);
	if (!err)
		return 0;
	lbpf_reader_unfeed(L, idx, &feed);
	return lbpf_err_push(L, err, err == EPERM ? "refused; only one reader may write the ring's position" : NULL,
			     "map '%s': ringbuf", lbpf_map_label(map));
}

static const struct lbpf_reader_kind ring_kind = {
	.cls = &reader_class,
	.name = "ringbuf",
	.what = "ring buffer",
	.source_size = sizeof(struct ring),
	.take = ring_take,
	.release = ring_release,
	.add = reader_add_ring,
};

/*** Opens a reader of a ring buffer map.
A ring takes one reader at a time, in all processes: every reader keeps its position in memory that belongs to the ring.
A second reader, in this process or another, breaks nothing but takes records away from the first, and both may get a
record, or parts of a newer one. A reader that finds the position moved goes on from there. A position where no record
can begin, because something else wrote it, is not believed: the reader goes on with the next record that comes, and
calls `lost`. A ring created with the flag `rb_overwrite` has no reader here: its records may be overwritten while they
are read.
@function bpf.ringbuf
@tparam bpf.map map of type ringbuf
@tparam ?string|integer|bpf.type type of the records: a name in the object's BTF or the kernel's, C text, or a size in
 bytes; nil gives the bytes
@tparam ?function handler called with each record by poll and consume; nil for a reader used by events only
@tparam ?table options
- unpack: true passes the members of a struct as values instead of a table: `function(pid, comm)`
- into: a table to fill with every record instead of making new ones
- lost: `function(n, why)`, called in its place among the records where records were lost because something else than
 this reader and the kernel wrote the ring's memory; n is 1, and `why` a text. The kernel doesn't tell of records that
 found no room: the program knows of them, `bpf_ringbuf_reserve` gave it NULL
@treturn bpf.ringbuf the reader
@treturn nil,string,string on failure: EPERM, EMFILE, EOPNOTSUPP (the ring has the flag `rb_overwrite`), …
@since kernel 5.8 */
static int ringbuf_new(lua_State *L)
{
	return lbpf_reader_new(L, &ring_kind);
}

/*** Adds another ring buffer to the reader; the arguments are those of bpf.ringbuf. Raises in a
forked child, which would add it to its parent's reader as well: open a reader of its own there.
@function ringbuf:add
@tparam bpf.map map
@tparam ?string|integer|bpf.type type
@tparam ?function handler
@tparam ?table options
@treturn bpf.ringbuf the reader itself
@treturn nil,string,string on failure */
static int ringbuf_add(lua_State *L)
{
	return lbpf_reader_add_map(L, &ring_kind);
}

/* ---- methods ---- */

/*** Hands the records that are there to their handlers; when there are none, waits for the first.
An error in a handler ends the call; its record counts as consumed, the rest stays for the next call. Raises for a ring
without handler: read that by events.
@function ringbuf:poll
@tparam ?integer timeout in milliseconds; 0 doesn't wait, -1 or nil waits for ever
@tparam ?integer max how many records to handle at most, 1 or more; nil for all that are there
@treturn integer how many records were handled; 0 when the time ran out, or a signal came that the process handles
@treturn nil,string,string on failure: EINTR in a coroutine, when a signal's handler has set a hook in the main thread,
 as that of `lua` for Ctrl-C does, in this call or since the reader's last one */
static int ringbuf_poll(lua_State *L)
{
	return lbpf_reader_poll(L, &ring_kind);
}

/*** Hands the records that are there to their handlers, without waiting. Raises for a ring without handler.
@function ringbuf:consume
@tparam ?integer max how many records to handle at most, 1 or more; nil for all that are there
@treturn integer how many records were handled
@see ring_buffer__consume_n */
static int ringbuf_consume(lua_State *L)
{
	return lbpf_reader_consume(L, &ring_kind);
}

/*** Iterates over records as they come: `for e in reader:events(1000) do`. Handlers are not called.
@function ringbuf:events
@tparam ?integer timeout in milliseconds to wait for the next record before the loop ends; -1 or nil for ever. A signal
 doesn't end the loop: Ctrl-C raises an error out of it. In a coroutine, where that error can't be raised, the loop ends
@treturn function iterator over records, or with `unpack` over their members */
static int ringbuf_events(lua_State *L)
{
	return lbpf_reader_events(L, &ring_kind);
}

/*** How many times records were lost because the ring's memory was written by something else than this reader and the
kernel: see `lost` of bpf.ringbuf.
@function ringbuf:lost
@treturn integer the number */
static int ringbuf_lost(lua_State *L)
{
	return lbpf_reader_lost(L, &ring_kind);
}

/*** A descriptor for event loops: readable when a record is there. Then call consume.
@function ringbuf:fd
@treturn integer an epoll descriptor, which stays the reader's */
static int ringbuf_fd(lua_State *L)
{
	return lbpf_reader_fd(L, &ring_kind);
}

/*** The same as ringbuf:fd, by the name that LuaSocket's select and other loops ask for: they take the reader itself.
@function ringbuf:getfd
@treturn integer */

/*** Closes the reader; closing twice is fine, and so is closing in a handler.
@function ringbuf:close
@treturn true */
static int ringbuf_close(lua_State *L)
{
	return lbpf_class_close(L, &reader_class);
}

static int ringbuf_tostring(lua_State *L)
{
	struct lbpf_reader *r = lbpf_class_check(L, 1, &reader_class);

	if (r->epoll < 0)
		lua_pushliteral(L, "bpf.ringbuf: (closed)");
	else
		lua_pushfstring(L, "bpf.ringbuf: %d ring%s (fd %d)", (int)r->count, r->count == 1 ? "" : "s", r->epoll);
	return 1;
}

static const luaL_Reg ringbuf_methods[] = {
	{ "add", ringbuf_add },	      { "poll", ringbuf_poll },	  { "consume", ringbuf_consume },
	{ "events", ringbuf_events }, { "lost", ringbuf_lost },	  { "fd", ringbuf_fd },
	{ "getfd", ringbuf_fd },      { "close", ringbuf_close }, { NULL, NULL },
};

static const luaL_Reg ringbuf_meta[] = {
	{ "__tostring", ringbuf_tostring },
	{ NULL, NULL },
};

static const struct lbpf_class reader_class = {
	.name = "bpf.ringbuf",
	.descriptors = 4,
	.methods = ringbuf_methods,
	.meta = ringbuf_meta,
	.init = lbpf_reader_init,
	.release = lbpf_reader_release,
};

void lbpf_ringbuf_open(lua_State *L)
{
	lbpf_class_register(L, &reader_class);
	lua_pushcfunction(L, ringbuf_new);
	lua_setfield(L, -2, "ringbuf");
}
