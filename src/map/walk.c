/* SPDX-License-Identifier: MIT */
/* Walking a map: pairs, keys, the length operator, and drain, which takes entries out as it goes.
 *
 * Where a kind's batches go from bucket to bucket, a walk fetches in batches: a bucket is read at once, so nothing is
 * seen twice or missed whatever others do. Elsewhere it goes by steps. A walk has nothing to release; once a drain has
 * taken entries out, it becomes an object that has: what the script doesn't get is put back. */
#include "map/walk.h"

#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>

#include "base/arg.h"
#include "base/err.h"
#include "map/map.h"
#include "map/ops.h"
#include "map/steps.h"

struct walk {
	struct lbpf_borrower self;
	struct lbpf_map *map; /* the owner */
	uint64_t flags;	      /* of the look-ups */
	bool keys_only;
	bool taking;   /* out of the map */
	bool stepping; /* by key; else in batches */
	bool started, ended;
	bool held;		  /* the entry being handed out is out of the map */
	bool closed;		  /* what was held has been put back */
	bool busy;		  /* a finalizer must not step it while it moves; stays set by an error */
	int err;		  /* an errno that ended it */
	uint32_t room, count, at; /* entries: that fit, that are there, that have been handed out */
	uint8_t *in, *out;	  /* cursor of the next batch and of the one after */
	uint8_t *keys, *values;	  /* all four in `first`, or in a buffer kept by a user value */
	struct lbpf_steps steps;
	_Alignas(8) uint8_t first[];
};

enum { WALK_BUFFER = 2, WALK_STEPS, WALK_SLOTS = WALK_STEPS };

/* Bytes of the first batch and of the largest, and how fast they grow. */
#define FIRST_BATCH 1024
#define MOST_BATCH (1 << 20)
#define GROWTH 4

/* Bytes of the C stack for batches that are only counted. */
#define COUNTED_BATCH 8192

static const struct lbpf_class walk_class, drain_class;

/* ---- memory: Lua's ---- */

static size_t entry_bytes(const struct lbpf_map *map)
{
	return map->key_size + lbpf_map_bytes(map);
}

static size_t cursor_bytes(const struct lbpf_map *map)
{
	return (map->key_size + 15) / 8 * 8;
}

static size_t keys_bytes(const struct lbpf_map *map, uint32_t room)
{
	return ((size_t)room * map->key_size + 7) / 8 * 8;
}

static size_t buffer_bytes(const struct lbpf_map *map, uint32_t room)
{
	return 2 * cursor_bytes(map) + keys_bytes(map, room) + (size_t)room * lbpf_map_bytes(map);
}

static uint32_t room_in(const struct lbpf_map *map, size_t bytes)
{
	size_t room = bytes / entry_bytes(map);

	if (room > LBPF_BATCH_ENTRIES)
		room = LBPF_BATCH_ENTRIES;
	if (room > map->max_entries)
		room = map->max_entries;
	return room ? (uint32_t)room : 1;
}

uint32_t lbpf_walk_first_room(const struct lbpf_map *map)
{
	return room_in(map, FIRST_BATCH);
}

uint32_t lbpf_walk_next_room(const struct lbpf_map *map, uint32_t room)
{
	uint32_t most = room_in(map, MOST_BATCH);

	if (room >= most)
		return room;
	return room < most / GROWTH ? room * GROWTH : most;
}

/* Goes on in a buffer with room for so many entries, which none of the old ones is kept in. */
static void walk_use(struct walk *w, uint8_t *buffer, uint32_t room)
{
	size_t cursor = cursor_bytes(w->map);

	if (w->started)
		memcpy(buffer, w->in, cursor);
	w->in = buffer;
	w->out = buffer + cursor;
	w->keys = buffer + 2 * cursor;
	w->values = w->keys + keys_bytes(w->map, room);
	w->room = room;
}

static void walk_set_room(lua_State *L, int idx, struct walk *w, uint32_t room)
{
	uint8_t *buffer = lua_newuserdatauv(L, buffer_bytes(w->map, room), 0);

	walk_use(w, buffer, room);
	lua_setiuservalue(L, idx, WALK_BUFFER);
}

/* Pushes a walk over the map at stack index map_idx. A small first buffer is part of it, but for one that takes: that
 * may get a finalizer, which would keep the buffer. */
static struct walk *walk_push(lua_State *L, int map_idx, struct lbpf_map *map, bool taking)
{
	bool stepping = !(map->kind->can & LBPF_BATCH) || (taking && map->kind->can & LBPF_HANDLES);
	uint32_t room = stepping ? 1 : lbpf_walk_first_room(map);
	size_t bytes = buffer_bytes(map, room);
	bool within = !taking && bytes <= 2 * FIRST_BATCH;
	struct walk *w;

	w = lbpf_class_new_borrower(L, &walk_class, sizeof(*w) + (within ? bytes : 0), WALK_SLOTS, map_idx);
	w->map = map;
	w->taking = taking;
	w->stepping = stepping;
	if (within)
		walk_use(w, w->first, room);
	else
		walk_set_room(L, lua_gettop(L), w, room);
	return w;
}

/* Lets go of the memory of a walk that has ended or was closed: who keeps the walk keeps that, too. One that is being
 * stepped, by whoever ran a finalizer that closed it, is read from still. */
static void walk_free(lua_State *L, int idx, struct walk *w)
{
	if (w->busy)
		return;
	for (int slot = WALK_BUFFER; slot <= WALK_SLOTS; slot++) {
		lua_pushnil(L);
		lua_setiuservalue(L, idx, slot);
	}
	w->in = w->out = w->keys = w->values = NULL;
	w->steps.seen = (struct lbpf_seen){ 0 };
	w->ended = true;
	w->count = w->at = 0;
}

/* ---- batches ---- */

static int batch_call(const struct walk *w, uint32_t *count)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts, .elem_flags = w->flags);
	int (*call)(int fd, void *in, void *out, void *keys, void *values, __u32 *n,
		    const struct bpf_map_batch_opts *) =
		w->taking ? bpf_map_lookup_and_delete_batch : bpf_map_lookup_batch;

	return call(w->map->fd, w->started ? w->in : NULL, w->out, w->keys, w->values, count, &opts) ? errno : 0;
}

/* Fetches the next batch; false when this kernel has none for the map. */
static bool walk_fetch(lua_State *L, int idx, struct walk *w)
{
	uint32_t room = lbpf_walk_next_room(w->map, w->room);

	if (w->started && w->room < room)
		walk_set_room(L, idx, w, room);
	while (!w->closed) {
		uint32_t count = w->room;
		int err = batch_call(w, &count);

		if (err == ENOSPC) { /* one bucket holds more than fits */
			walk_set_room(L, idx, w, 2 * w->room);
			continue;
		}
		if (!w->started && (err == EINVAL || err == ENOTSUPP))
			return false;
		if (err && err != ENOENT) {
			w->err = err;
			count = 0;
		}
		w->started = true;
		w->ended = err;
		w->count = count;
		w->at = 0;
		memcpy(w->in, w->out, (size_t)(w->out - w->in));
		if (count || w->ended)
			return true;
	}
	return true;
}

/* ---- stepping ---- */

/* Slots need no memory of those seen: nothing deletes them. */
static int step_slot(struct walk *w)
{
	if (w->at >= w->map->max_entries)
		return ENOENT;
	memcpy(w->keys, &w->at, sizeof(w->at));
	w->at++;
	return 0;
}

/* References become handles while the entry still refers to the thing: they are looked up, and deleted then. */
static bool takes_later(const struct walk *w)
{
	return w->taking && w->map->kind->can & LBPF_HANDLES;
}

static int step_value(const struct walk *w)
{
	int err;

	if (w->taking && !takes_later(w))
		return lbpf_map_take(w->map, w->keys, w->values, w->flags);
	if (w->keys_only && !(w->map->kind->can & LBPF_INDEXED && w->map->kind->can & LBPF_HANDLES))
		return 0;
	err = bpf_map_lookup_elem_flags(w->map->fd, w->keys, w->values, w->flags) ? errno : 0;
	/* of sockets without room for a cookie it can't be told whether there is one */
	return err == ENOSPC && w->keys_only ? 0 : err;
}

/* Moves on to the next entry that is still there when its value is read. An lpm_trie gives a shorter prefix's value
 * for one deleted between the two calls; the kernel has no exact look-up. */
static bool walk_step(lua_State *L, int idx, struct walk *w)
{
	bool slots = w->map->kind->can & LBPF_INDEXED;
	int err;

	for (;;) {
		err = slots ? step_slot(w) : lbpf_steps_next(L, idx, WALK_STEPS, w->map, &w->steps, w->keys, w->out);
		if (err == ENOENT)
			return false;
		if (!err)
			err = step_value(w);
		if (!err)
			return true;
		if (err != ENOENT) {
			w->err = err;
			return false;
		}
	}
}

/* ---- both ---- */

/* Makes the next entry current and returns its place in the buffers; -1 at the end. */
static int64_t walk_advance(lua_State *L, int idx, struct walk *w)
{
	if (lbpf_unlikely(w->map->fd < 0))
		lbpf_map_unusable(L, w->map);
	if (lbpf_likely(w->at < w->count))
		return w->at++;
	if (!w->stepping) {
		if (w->ended)
			return -1;
		if (walk_fetch(L, idx, w))
			return w->at < w->count ? (int64_t)w->at++ : -1;
		w->stepping = true;
	}
	if (!w->ended)
		w->ended = !walk_step(L, idx, w);
	return w->ended ? -1 : 0;
}

/* Has the walk at idx put back what it holds, whatever becomes of it. Allocates nothing. */
static inline void walk_hold(lua_State *L, int idx, struct walk *w)
{
	if (lbpf_likely(!w->taking || w->self.head.cls == &drain_class || takes_later(w)))
		return;
	w->self.head.cls = &drain_class;
	lua_rawgetp(L, LUA_REGISTRYINDEX, &drain_class);
	lua_setmetatable(L, idx);
}

/* Pushes the entry at position i; false when it should have been deleted then and somebody else had done so. */
static bool walk_push_entry(lua_State *L, struct walk *w, int64_t i)
{
	w->held = w->taking && !takes_later(w);
	lbpf_map_decode_key(L, w->map, w->keys + (size_t)i * w->map->key_size);
	if (!w->keys_only)
		lbpf_map_decode_value(L, w->map, w->values + (size_t)i * lbpf_map_bytes(w->map));
	if (w->closed)
		luaL_error(L, "this walk was closed while it was stepped");
	w->held = false;
	if (takes_later(w))
		w->err = lbpf_map_erase(w->map, w->keys);
	if (w->err != ENOENT)
		return true;
	w->err = 0;
	return false;
}

/* In a child, what had been taken out by the time of the fork is its parent's to hand out and to put back. */
static void walk_inherit(struct walk *w)
{
	if (!w->taking || lbpf_class_is_here(&w->self.head))
		return;
	w->self.head.process = lbpf_process_number();
	w->held = false;
	if (!w->stepping)
		w->at = w->count;
}

/* Pushes the next key, and value unless only keys are wanted; returns how many, 0 at the end. */
static int walk_push_next(lua_State *L, int idx, struct walk *w)
{
	int top = lua_gettop(L);
	int64_t i;

	if (lbpf_unlikely(w->closed))
		return 0;
	if (lbpf_unlikely(w->busy))
		luaL_error(L, "this walk is being stepped already, or has failed");
	w->busy = true;
	walk_inherit(w);
	while ((i = walk_advance(L, idx, w)) >= 0) {
		walk_hold(L, idx, w);
		if (lbpf_likely(walk_push_entry(L, w, i)))
			break;
		lua_settop(L, top);
	}
	w->busy = false;
	if (lbpf_unlikely(w->err))
		lua_settop(L, top);
	return i < 0 || w->err ? 0 : w->keys_only ? 1 : 2;
}

/* The walk is the upvalue: what a script passes may be anything, the memory of a collected walk as well. */
static int walk_next(lua_State *L)
{
	int idx = lua_upvalueindex(1), n;
	struct walk *w = lua_touserdata(L, idx);

	if (lbpf_unlikely(lua_touserdata(L, 1) != w))
		lbpf_class_mismatch(L, 1, &walk_class);
	n = walk_push_next(L, idx, w);
	if (lbpf_likely(n))
		return n;
	walk_free(L, idx, w);
	if (w->err)
		lbpf_map_raise(L, w->map, w->err, "walk");
	lua_pushnil(L);
	return 1;
}

/* What was taken but not handed out goes back, unless its key came back meanwhile. Returns 0 or the last errno, and
 * how many entries are lost. */
static int walk_put_back(struct walk *w, lua_Integer *lost)
{
	const struct lbpf_map *map = w->map;
	uint32_t i, end;
	int err = 0;

	walk_inherit(w);
	i = w->stepping ? 0 : w->at - w->held;
	end = w->stepping ? w->held : w->count;
	*lost = 0;
	for (; w->taking && i < end; i++) {
		const uint8_t *value = w->values + (size_t)i * lbpf_map_bytes(map);

		if (bpf_map_update_elem(map->fd, w->keys + (size_t)i * map->key_size, value, BPF_NOEXIST) == 0 ||
		    errno == EEXIST)
			continue;
		err = errno;
		++*lost;
	}
	w->closed = w->closed || w->taking;
	w->held = false;
	w->at = w->count;
	return err;
}

static int walk_close(lua_State *L)
{
	bool failing = !lua_isnoneornil(L, 2);
	struct walk *w = lbpf_class_test_borrower(L, 1, &walk_class);
	lua_Integer lost;
	int err;

	if (!w)
		w = lbpf_class_check(L, 1, &drain_class);
	if (!w->taking)
		return 0;
	err = walk_put_back(w, &lost);
	walk_free(L, 1, w);
	if (err && !failing)
		lbpf_err_raise(L, err, NULL, "map '%s': drain: %I entries that had been taken could not be put back",
			       lbpf_map_label(w->map), (LUAI_UACINT)lost);
	return 0;
}

/* A loop that was never closed, in a coroutine that nobody resumes, keeps no entries either. */
static void walk_release(lua_State *L, int idx, void *self)
{
	lua_Integer lost;

	(void)L;
	(void)idx;
	walk_put_back(self, &lost);
}

/* Pushes the function that steps the walk at the top, and inserts it below. */
static int walk_return(lua_State *L)
{
	lua_pushvalue(L, -1);
	lua_pushcclosure(L, walk_next, 1);
	lua_insert(L, -2);
	return 2;
}

static int begin_pairs(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, LBPF_LOOKUP | LBPF_WALK, "keys to walk");

	walk_push(L, 1, map, false);
	return walk_return(L);
}

static int map_pairs(lua_State *L)
{
	return lbpf_relay(L, begin_pairs);
}

/*** Walks the keys of a map, as pairs walks keys and values: `for k in map.keys(m) do`.
@function bpf.map.keys
@tparam bpf.map m
@treturn function iterator; raises for kinds without keys, and in the loop when the kernel refuses */
static int map_keys(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, LBPF_WALK, "keys to walk");

	walk_push(L, 1, map, false)->keys_only = true;
	return walk_return(L);
}

static int drain_queue(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, LBPF_POP, "drain");

	LBPF_SCRATCH(L, value, lbpf_map_bytes(map));
	if (bpf_map_lookup_and_delete_elem(map->fd, NULL, value) == 0)
		lbpf_map_decode_value(L, map, value);
	else if (errno == ENOENT)
		lua_pushnil(L);
	else
		lbpf_map_raise(L, map, errno, "drain");
	return 1;
}

/*** Takes entries out of a map while walking it: `for k, v in map.drain(m) do`, or `for v in map.drain(queue) do` until
the queue or stack is empty. Each entry is looked up and deleted in one step (since kernel 5.14 for single entries, 5.6
for batches); only what a program adds to a value that it had looked up just before goes nowhere. Leaving the loop early
puts back the entries of the current batch that it didn't get to, but for keys that were stored anew meanwhile. A
process that is killed by SIGKILL puts nothing back: up to a batch, 256 entries, is lost; with `update_batch(to,
drain(from))` up to two.
@function bpf.map.drain
@tparam bpf.map m
@treturn function iterator, with what the loop closes; raises for kinds whose entries can't be deleted, and in the
 loop when the kernel refuses
@see bpf_map_lookup_and_delete_batch */
static int map_drain(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, 0, "drain");
	uint32_t needs = LBPF_WALK | LBPF_LOOKUP | LBPF_DELETE;

	lua_settop(L, 1);
	if (map->kind->can & LBPF_POP) {
		lua_pushcfunction(L, drain_queue);
		lua_insert(L, 1);
		return 2;
	}
	if ((map->kind->can & needs) != needs)
		lbpf_map_cannot(L, map, "drain");
	walk_push(L, 1, map, true);
	walk_return(L);
	lua_pushnil(L);
	lua_pushvalue(L, -2);
	return 4;
}

/* Counts in batches that nothing is kept of; false where it takes a walk, which also tells what is wrong. */
static bool count_batches(struct lbpf_map *map, lua_Integer *n)
{
	_Alignas(8) uint8_t buffer[COUNTED_BATCH];
	struct walk w = { .map = map };
	uint32_t room = room_in(map, sizeof(buffer) - 2 * cursor_bytes(map) - 8), count;
	int err;

	if (!(map->kind->can & LBPF_BATCH) || buffer_bytes(map, room) > sizeof(buffer))
		return false;
	walk_use(&w, buffer, room);
	*n = 0;
	do {
		count = room;
		err = batch_call(&w, &count);
		if (err && err != ENOENT)
			return false;
		*n += count;
		w.started = true;
		memcpy(w.in, w.out, cursor_bytes(map));
	} while (!err);
	return true;
}

static lua_Integer count_walk(lua_State *L, struct lbpf_map *map)
{
	lua_Integer n = 0;
	struct walk *w;

	lua_settop(L, 1);
	w = walk_push(L, 1, map, false);
	w->keys_only = true;
	for (; walk_advance(L, 2, w) >= 0; n++) {
		n += (lua_Integer)w->count - w->at;
		w->at = w->count;
	}
	if (w->err)
		lbpf_map_raise(L, map, w->err, "walk");
	return n;
}

/* The number of slots for arrays; of entries, which have to be walked, for the rest. */
static int map_len(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, 0, "length");
	lua_Integer n = map->max_entries;

	if (!(map->kind->can & LBPF_INDEXED)) {
		lbpf_map_check(L, 1, LBPF_WALK, "length");
		if (!count_batches(map, &n))
			n = count_walk(L, map);
	}
	lua_pushinteger(L, n);
	return 1;
}

/* ---- walks that others step ---- */

void lbpf_walk_push(lua_State *L, int map_idx, uint64_t flags)
{
	walk_push(L, map_idx, lua_touserdata(L, map_idx), false)->flags = flags;
}

void lbpf_walk_check(lua_State *L, int idx, const struct lbpf_map *map)
{
	const struct walk *w = lbpf_class_test_borrower(L, idx, &walk_class);

	luaL_argcheck(L, w && w->map == map && !w->keys_only, idx, "the cursor expected that the call before returned");
}

bool lbpf_walk_next(lua_State *L, int idx, int *err)
{
	struct walk *w = lua_touserdata(L, idx);
	int n = walk_push_next(L, idx, w);

	*err = w->err;
	return n;
}

static const luaL_Reg walk_meta[] = {
	{ "__close", walk_close },
	{ NULL, NULL },
};

static const struct lbpf_class walk_class = { .name = "bpf.walk", .meta = walk_meta, .borrows = true };
static const struct lbpf_class drain_class = { .name = "bpf.walk", .meta = walk_meta, .release = walk_release };

static const luaL_Reg map_meta[] = {
	{ "__pairs", map_pairs },
	{ "__len", map_len },
	{ NULL, NULL },
};

static const luaL_Reg map_functions[] = {
	{ "keys", map_keys },
	{ "drain", map_drain },
	{ NULL, NULL },
};

void lbpf_walk_open(lua_State *L)
{
	lbpf_class_register(L, &walk_class);
	lbpf_class_register(L, &drain_class);
	lbpf_class_extend(L, &lbpf_map_class, map_meta);
	lua_getfield(L, -1, "map");
	luaL_setfuncs(L, map_functions, 0);
	lua_pop(L, 1);
}
