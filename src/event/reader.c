/* SPDX-License-Identifier: MIT */
/* What readers of ring buffers and of perf buffers share.
 *
 * A reader maps the kernel's memory itself. It reads records in place, or from a copy on the stack. A record counts as
 * consumed before its handler runs. So an error in the handler passes through poll like any other, no record is
 * delivered twice, and a handler may poll, add or close. The reader's position is stored for the kernel from time to
 * time, and whenever a source is empty. */
#include "event/reader.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <lauxlib.h>

#include "base/caught.h"
#include "base/err.h"
#include "map/map.h"
#include "value/codec.h"

#define STORE_EVERY (64u << 10) /* bytes after which the position is stored */

void lbpf_reader_init(void *self)
{
	struct lbpf_reader *r = self;

	r->epoll = -1;
	r->latch.fd = -1;
}

void lbpf_reader_release(lua_State *L, int idx, void *self)
{
	struct lbpf_reader *r = self;
	uint32_t count = r->count;
	int epoll = r->epoll;

	(void)L;
	(void)idx;
	r->epoll = -1;
	r->count = 0;
	if (epoll >= 0)
		close(epoll);
	lbpf_latch_close(&r->latch);
	for (uint32_t i = 0; i < count; i++)
		r->kind->release(lbpf_reader_source(r, i), lbpf_class_undoes(&r->head));
}

/* Raises in a forked child that has the reader, but not the memory to read. A script may also fork in a handler. */
static inline void reader_check_here(lua_State *L, const struct lbpf_reader *r)
{
	if (lbpf_unlikely(r->kind->unshared && !lbpf_class_is_here(&r->head)))
		luaL_error(L, "this %s reader belongs to another process: a fork doesn't pass its memory on",
			   r->kind->what);
}

void lbpf_reader_recheck(lua_State *L, const struct lbpf_reader *r)
{
	if (lbpf_unlikely(r->epoll < 0))
		luaL_error(L, "%s reader is closed", r->kind->what);
	reader_check_here(L, r);
}

struct lbpf_reader *lbpf_reader_check(lua_State *L, const struct lbpf_reader_kind *kind)
{
	struct lbpf_reader *r = lbpf_class_check(L, 1, kind->cls);

	lbpf_reader_recheck(L, r);
	return r;
}

int lbpf_reader_new(lua_State *L, const struct lbpf_reader_kind *kind)
{
	struct lbpf_reader *r;
	int n;

	lua_settop(L, 4);
	r = lbpf_class_new(L, kind->cls, sizeof(*r), 2);
	r->kind = kind;
	lbpf_wait_watch_hook(L, &r->hook);
	lua_newtable(L);
	lua_setiuservalue(L, 5, LBPF_READER_REFS);
	r->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (r->epoll < 0)
		return lbpf_err_push(L, errno, NULL, "%s", kind->name);
	n = kind->add(L, 5, r, 1);
	if (n)
		lbpf_reader_release(L, 5, r);
	return n ? n : 1;
}

int lbpf_reader_add_map(lua_State *L, const struct lbpf_reader_kind *kind)
{
	struct lbpf_reader *r = lbpf_reader_check(L, kind);
	int n;

	if (!lbpf_class_is_here(&r->head)) /* the parent uses the same epoll file */
		luaL_error(L, "add: this %s reader belongs to another process: open a reader of its own in the child",
			   kind->what);
	lua_settop(L, 5);
	n = kind->add(L, 1, r, 2);
	if (n)
		return n;
	lua_settop(L, 1);
	return 1;
}

/* ---- records ---- */

static inline void source_store_if_due(struct lbpf_source *s)
{
	if (s->pos - s->stored >= (s->size / 8 < STORE_EVERY ? s->size / 8 : STORE_EVERY))
		lbpf_source_store(s);
}

/* Copies a record, which may continue at the start of the data, and makes the record refer to the copy. */
static inline void record_copy(const struct lbpf_source *s, struct lbpf_record *rec, uint8_t *to)
{
	memcpy(to, rec->data, rec->first);
	if (lbpf_unlikely(rec->first < rec->len))
		memcpy(to + rec->first, s->data, rec->len - rec->first);
	rec->data = to;
}

/* Takes the next record of source i for decoding. A record that becomes a table is copied first, because creating
 * tables may run a finalizer that closes the reader or reads more records. A record that doesn't fit into `small` gets
 * memory on the Lua stack. */
static inline bool take_record(lua_State *L, struct lbpf_reader *r, uint32_t i, unsigned long end,
			       struct lbpf_record *rec, void *small)
{
	void *buf = small;
	size_t room = LBPF_SMALL;

	for (;;) {
		struct lbpf_source *s = lbpf_reader_source(r, i);

		if (lbpf_unlikely(!lbpf_source_holds(s, end))) {
			if (!lbpf_source_meet(s, rec))
				return true;
			if (end - s->pos > s->size)
				return false; /* `end` was read before the position that was found */
		}
		if (!r->kind->take(s, end, rec))
			return false;
		if (s->feed.type->depth == 0 && rec->first == rec->len)
			return true;
		if (rec->len <= room) {
			record_copy(s, rec, buf);
			return true;
		}
		s->pos = rec->at;
		room = rec->len;
		if (buf != small)
			lua_pop(L, 1);
		buf = lua_newuserdatauv(L, room, 0);
		reader_check_here(L, r);
		if (r->epoll < 0)
			return false;
	}
}

/* Pushes a record in the form that its feed wants, and returns the number of values. refs is the stack index of the
 * table of references. */
static inline int push_record(lua_State *L, const struct lbpf_source *s, const struct lbpf_record *rec, int refs)
{
	const struct lbpf_type *type = s->feed.type;
	int cpu = s->cpu, n = 1;

	lbpf_check_length(L, type, rec->len, "event");
	if (s->feed.unpack) {
		n = lbpf_decode_unpack(L, type, rec->data, rec->len);
	} else if (s->feed.into) {
		lua_rawgeti(L, refs, s->feed.refs + LBPF_REF_INTO);
		lbpf_decode_into(L, type, rec->data, rec->len, -1);
		lua_remove(L, -2);
	} else {
		lbpf_decode(L, type, rec->data, rec->len);
	}
	if (cpu < 0)
		return n;
	lua_pushinteger(L, cpu);
	return n + 1;
}

/* Counts lost records, and reports them to the script's function if there is one. */
static void report_lost(lua_State *L, struct lbpf_reader *r, uint32_t i, const struct lbpf_record *rec, int refs)
{
	const struct lbpf_source *s = lbpf_reader_source(r, i);
	int cpu = s->cpu;

	r->lost += rec->lost;
	if (lua_rawgeti(L, refs, s->feed.refs + LBPF_REF_LOST) == LUA_TNIL) {
		lua_pop(L, 1);
		return;
	}
	if (cpu >= 0)
		lua_pushinteger(L, cpu);
	lua_pushinteger(L, (lua_Integer)rec->lost);
	if (rec->why)
		lua_pushstring(L, rec->why);
	lua_call(L, 1 + (cpu >= 0) + (rec->why != NULL), 0);
	reader_check_here(L, r);
}

/* Passes the records that are there now to the handler, up to max records. The handler may do anything to the reader,
 * so sources are looked up again after each call. A notice of invalid positions ends it, because a process that writes
 * them all the time must not keep us here. */
static lua_Integer source_consume(lua_State *L, struct lbpf_reader *r, uint32_t i, int refs, lua_Integer max)
{
	struct lbpf_source *s = lbpf_reader_source(r, i);
	unsigned long end = lbpf_source_end(s);
	_Alignas(8) char small[LBPF_SMALL];
	struct lbpf_record rec;
	bool nonsense = false;
	lua_Integer n = 0;
	int handler;

	if (lua_rawgeti(L, refs, s->feed.refs + LBPF_REF_HANDLER) != LUA_TFUNCTION)
		luaL_error(L, "this %s has no handler: read it by events()", r->kind->what);
	handler = lua_gettop(L);
	while (n < max && !nonsense && take_record(L, r, i, end, &rec, small)) {
		if (lbpf_unlikely(rec.lost)) {
			nonsense = rec.why != NULL;
			report_lost(L, r, i, &rec, refs);
		} else {
			lua_pushvalue(L, handler);
			lua_call(L, push_record(L, lbpf_reader_source(r, i), &rec, refs), 0);
			n++;
		}
		lua_settop(L, handler);
		reader_check_here(L, r);
		if (lbpf_unlikely(r->epoll < 0))
			break;
		source_store_if_due(lbpf_reader_source(r, i));
	}
	if (r->epoll >= 0)
		lbpf_source_store(lbpf_reader_source(r, i));
	lua_settop(L, handler - 1);
	return n;
}

/* Whether a record has arrived since the last check. The kernel wakes us only for a record that begins at the stored
 * position of a ring buffer. So this must be checked between storing the position and sleeping. */
static bool reader_missed(const struct lbpf_reader *r)
{
	atomic_thread_fence(memory_order_seq_cst);
	for (uint32_t i = 0; i < r->count; i++) {
		struct lbpf_source look = *(struct lbpf_source *)lbpf_reader_source(r, i);
		unsigned long end = lbpf_source_end(&look), pos = look.pos;
		struct lbpf_record rec;

		if (!lbpf_source_holds(&look, end))
			return true;
		if (end != pos && (r->kind->take(&look, end, &rec) || look.pos != pos))
			return true;
	}
	return false;
}

/* ---- event loops ---- */

static int source_fd(const void *reader, uint32_t i)
{
	const struct lbpf_source *s = lbpf_reader_source(reader, i);

	return s->fd;
}

/* Returns 0 or an errno. */
static int reader_watch(struct lbpf_reader *r)
{
	struct epoll_event event = { .events = EPOLLIN };
	bool was_open = r->latch.fd >= 0;
	int err = lbpf_latch_watch(&r->latch, r->count, source_fd, r);

	if (err)
		return err;
	if (!was_open && epoll_ctl(r->epoll, EPOLL_CTL_ADD, r->latch.fd, &event)) {
		err = errno;
		lbpf_latch_close(&r->latch);
		return err;
	}
	if (reader_missed(r))
		lbpf_latch_set(&r->latch);
	return 0;
}

int lbpf_reader_added(struct lbpf_reader *r)
{
	return r->latch.fd < 0 ? 0 : reader_watch(r);
}

/* Called when everything that was to be read has been read: resets the latch, so that event loops may sleep, unless
 * there is more. The second check is for a source that reports records that were already read. After an error in a
 * handler this isn't called, so the event loop comes back. */
static void reader_settle(const struct lbpf_reader *r)
{
	if (lbpf_likely(r->latch.fd < 0))
		return;
	for (int i = 0; i < 2 && lbpf_latch_reset(&r->latch); i++)
		;
	if (reader_missed(r))
		lbpf_latch_set(&r->latch);
}

/* ---- reading ---- */

/* With a limit, each call begins at another source. Without one, all sources are read anyway. */
static lua_Integer reader_consume(lua_State *L, struct lbpf_reader *r, lua_Integer max)
{
	uint32_t first = max < LUA_MAXINTEGER && r->count ? r->turn % r->count : 0;
	lua_Integer n = 0;
	int refs;

	luaL_checkstack(L, 8, NULL);
	lua_getiuservalue(L, 1, LBPF_READER_REFS);
	refs = lua_gettop(L);
	for (uint32_t i = 0; i < r->count && n < max; i++) {
		uint32_t turn = first + i < r->count ? first + i : first + i - r->count;

		n += source_consume(L, r, turn, refs, max - n);
		if (n >= max)
			r->turn = turn + 1;
	}
	lua_settop(L, refs - 1);
	reader_settle(r);
	return n;
}

/* ---- waiting ---- */

/* Sleeps until a record may be there or the time is over. Returns 0 or an errno. */
static int reader_wait(const struct lbpf_reader *r, int timeout_ms)
{
	return reader_missed(r) ? 0 : lbpf_wait_readable(r->hook.main, r->epoll, timeout_ms);
}

static lua_Integer max_arg(lua_State *L, int idx)
{
	return lua_isnoneornil(L, idx) ? LUA_MAXINTEGER : lbpf_arg_int(L, idx, 1, LUA_MAXINTEGER);
}

static int reader_fail(lua_State *L, const struct lbpf_reader_kind *kind, int err)
{
	return lbpf_err_push(L, err, err == EINTR ? "interrupted by a signal" : NULL, "%s: poll", kind->what);
}

/* ---- methods ---- */

int lbpf_reader_poll(lua_State *L, const struct lbpf_reader_kind *kind)
{
	struct lbpf_reader *r = lbpf_reader_check(L, kind);
	int left = lbpf_wait_arg(L, 2, -1), err;
	lua_Integer max = max_arg(L, 3), n;
	struct lbpf_wait wait;

	if (lbpf_wait_hook_is_new(&r->hook) && !lbpf_wait_hook_is_here(L))
		return reader_fail(L, kind, EINTR);
	n = reader_consume(L, r, max);
	if (!n && left)
		wait = lbpf_wait_begin(left);
	while (!n && left && r->epoll >= 0) {
		err = lbpf_wait_hook_is_new(&r->hook) ? EINTR : reader_wait(r, left);
		if (err == EINTR && lbpf_wait_hook_is_here(L))
			break;
		if (err)
			return reader_fail(L, kind, err);
		n = reader_consume(L, r, max);
		left = lbpf_wait_left(&wait);
	}
	lua_pushinteger(L, n);
	return 1;
}

int lbpf_reader_consume(lua_State *L, const struct lbpf_reader_kind *kind)
{
	struct lbpf_reader *r = lbpf_reader_check(L, kind);

	lua_pushinteger(L, reader_consume(L, r, max_arg(L, 2)));
	return 1;
}

/* Pushes the next record of any source. Returns the number of values, 0 if there is no record. */
static int next_record(lua_State *L, struct lbpf_reader *r)
{
	_Alignas(8) char small[LBPF_SMALL];
	struct lbpf_record rec;

	lua_settop(L, 1);
	lua_getiuservalue(L, 1, LBPF_READER_REFS);
	for (uint32_t n = 0; n < r->count; n++) {
		uint32_t i = (r->turn + n) % r->count;

		source_store_if_due(lbpf_reader_source(r, i));
		while (take_record(L, r, i, lbpf_source_end(lbpf_reader_source(r, i)), &rec, small)) {
			if (!rec.lost) {
				r->turn = i + 1; /* the other sources come first next time */
				return push_record(L, lbpf_reader_source(r, i), &rec, 2);
			}
			report_lost(L, r, i, &rec, 2);
			lua_settop(L, 2);
			if (r->epoll < 0 || rec.why)
				break;
		}
		if (r->epoll < 0)
			return 0;
		lua_settop(L, 2);
		lbpf_source_store(lbpf_reader_source(r, i));
	}
	reader_settle(r);
	return 0;
}

/* Waits for the next record. Continues after a signal that nobody has asked for by bpf.signals, because it isn't known
 * what a loop would do after one. */
static bool events_wait(lua_State *L, const struct lbpf_reader *r, int left)
{
	int err = reader_wait(r, left);

	return err == 0 || (err == EINTR && lbpf_wait_run_hook(L));
}

/* Whether the loop goes on: no signal of bpf.signals is to be taken, and a hook that a signal handler has set since the
 * last check has run here. */
static inline bool events_go_on(lua_State *L, struct lbpf_reader *r)
{
	return !lbpf_caught_ends(r->hook.main) && (!lbpf_wait_hook_is_new(&r->hook) || lbpf_wait_run_hook(L));
}

/* The function that a generic `for` calls with the reader. Its upvalues are the kind and the time-out. */
static int events_next(lua_State *L)
{
	struct lbpf_reader *r = lbpf_reader_check(L, lua_touserdata(L, lua_upvalueindex(1)));
	int left = (int)lua_tointeger(L, lua_upvalueindex(2)), n = 0;
	struct lbpf_wait wait;

	if (events_go_on(L, r)) {
		reader_check_here(L, r); /* a hook may have forked */
		n = next_record(L, r);
	} else {
		left = 0;
	}
	if (!n && left)
		wait = lbpf_wait_begin(left);
	while (!n && left && r->epoll >= 0 && events_go_on(L, r) && events_wait(L, r, left)) {
		reader_check_here(L, r);
		n = next_record(L, r);
		left = lbpf_wait_left(&wait);
	}
	if (!n)
		lua_pushnil(L);
	return n ? n : 1;
}

int lbpf_reader_events(lua_State *L, const struct lbpf_reader_kind *kind)
{
	int timeout;

	lbpf_reader_check(L, kind);
	/* Before the descriptor's number is used for something else. */
	timeout = lbpf_wait_arg(L, 2, -1);
	lua_pushlightuserdata(L, (void *)(uintptr_t)kind);
	lua_pushinteger(L, timeout);
	lua_pushcclosure(L, events_next, 2);
	lua_pushvalue(L, 1);
	return 2;
}

int lbpf_reader_lost(lua_State *L, const struct lbpf_reader_kind *kind)
{
	lua_pushinteger(L, (lua_Integer)lbpf_reader_check(L, kind)->lost);
	return 1;
}

int lbpf_reader_fd(lua_State *L, const struct lbpf_reader_kind *kind)
{
	struct lbpf_reader *r = lbpf_reader_check(L, kind);
	int err = 0;

	if (kind->once && r->latch.fd < 0)
		err = reader_watch(r);
	if (err)
		return lbpf_err_push(L, err, NULL, "%s: fd", kind->what);
	lua_pushinteger(L, kind->once ? r->latch.fd : r->epoll);
	return 1;
}
