/* SPDX-License-Identifier: MIT */
/* A walk: the state of one iteration over a map. A walk that drains deletes the entries that it reads.
 *
 * If the map type's batches go from bucket to bucket, a walk fetches entries in batches. The kernel reads a bucket at
 * once, under its lock, so no entry is seen twice or missed, whatever others do. On other maps a walk steps from key to
 * key.
 *
 * A walk has nothing to release and no finalizer. Once a draining walk has taken entries, it gets a class that has one,
 * which puts back the entries that the script didn't get. */
#include "map/walk.h"

#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>

#include "base/err.h"
#include "map/map.h"
#include "map/ops.h"
#include "map/room.h"
#include "map/steps.h"

/* A "batch" of a stepping walk is its current entry. */
struct walk {
	struct lbpf_borrower self;
	struct lbpf_map *map; /* the owner: a walk keeps its map alive */
	uint64_t flags;	      /* of the look-ups */
	bool keys_only;
	bool summing;  /* the values of all CPUs are added up */
	bool taking;   /* a drain: entries are deleted as they are read */
	bool stepping; /* goes from key to key; false: in batches */
	bool started, ended;
	bool held;   /* the current entry is deleted from the map, and the script doesn't have it yet */
	bool closed; /* a drain was closed, and has put back the entries that the script didn't get */
	bool busy;   /* being stepped: a finalizer must not step it meanwhile. Stays set after an error */
	int err;     /* the errno that ended the walk, or 0 */
	/* Entries of the batch: how many fit, how many were read, how many the script has got. */
	uint32_t room, count, at;
	/* The cursor to pass to the next batch call, and the one that the call returns. */
	uint8_t *in, *out;
	/* The batch. It lies in `first`, as the cursors do, or in a buffer that a user value keeps. */
	uint8_t *keys, *values;
	struct lbpf_steps steps;
	_Alignas(8) uint8_t first[];
};

enum { WALK_BUFFER = 2, WALK_STEPS, WALK_SLOTS = WALK_STEPS };

static const struct lbpf_class walk_class, drain_class;

/* ---- memory, allocated by Lua ---- */

/* Uses another buffer, with room for so many entries. The cursor is copied to it; entries of the old buffer are not. */
static void walk_use(struct walk *w, uint8_t *buffer, uint32_t room)
{
	size_t cursor = lbpf_room_cursor(w->map);

	if (w->started)
		memcpy(buffer, w->in, cursor);
	w->in = buffer;
	w->out = buffer + cursor;
	w->keys = buffer + 2 * cursor;
	w->values = w->keys + lbpf_room_keys(w->map, room);
	w->room = room;
}

static void walk_set_room(lua_State *L, int idx, struct walk *w, uint32_t room)
{
	uint8_t *buffer = lua_newuserdatauv(L, lbpf_room_bytes(w->map, room), 0);

	walk_use(w, buffer, room);
	lua_setiuservalue(L, idx, WALK_BUFFER);
}

/* Pushes a walk over the map at stack index map_idx. A small first buffer is part of the walk's own memory. A draining
 * walk has a separate buffer, because it may get a finalizer, which would keep the walk's memory for one more
 * collection. */
static struct walk *walk_push(lua_State *L, int map_idx, struct lbpf_map *map, bool taking)
{
	bool stepping = !(map->kind->can & LBPF_BATCH) || (taking && map->kind->can & LBPF_HANDLES);
	uint32_t room = stepping ? 1 : lbpf_room_first(map);
	size_t bytes = lbpf_room_bytes(map, room);
	bool within = !taking && bytes <= 2 * LBPF_FIRST_BATCH;
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

/* Drops the memory of a walk that has ended or was closed, because scripts may keep the walk. If a finalizer closed a
 * walk while it was being stepped, the memory is still read, and stays. */
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

/* Fetches the next batch. Returns false if this kernel has no batches for the map. */
static bool walk_fetch(lua_State *L, int idx, struct walk *w)
{
	uint32_t room = lbpf_room_next(w->map, w->room);

	if (w->started && w->room < room)
		walk_set_room(L, idx, w, room);
	while (!w->closed) {
		uint32_t count = w->room;
		int err = batch_call(w, &count);

		if (err == ENOSPC) { /* one bucket holds more entries than fit */
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

/* Goes to the next slot of an array. Slots can't be deleted, so the walk needn't remember those it has seen. */
static int step_slot(struct walk *w)
{
	if (w->at >= w->map->max_entries)
		return ENOENT;
	memcpy(w->keys, &w->at, sizeof(w->at));
	w->at++;
	return 0;
}

/* Whether an entry is deleted only after it was converted to a Lua value. Entries that refer to a map, program or
 * socket are: the entry may be all that keeps the object alive. */
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
	/* The kernel says this, whether or not there is an entry, if values have no room for a socket's cookie */
	return err == ENOSPC && w->keys_only ? 0 : err;
}

/* Goes to the next entry that still exists when its value is read. If an entry of an lpm_trie is deleted between
 * reading its key and its value, the value is that of a shorter prefix: the kernel has no exact look-up. */
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

/* ---- batches and stepping ---- */

/* Makes the next entry the current one. Returns its position in the buffers, or -1 at the end. */
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

/* Makes the walk at idx put back the entries that it took, even if it is only collected: gives it the class with a
 * finalizer. Allocates nothing. */
static inline void walk_hold(lua_State *L, int idx, struct walk *w)
{
	if (lbpf_likely(!w->taking || w->self.head.cls == &drain_class || takes_later(w)))
		return;
	w->self.head.cls = &drain_class;
	lua_rawgetp(L, LUA_REGISTRYINDEX, &drain_class);
	lua_setmetatable(L, idx);
}

/* Pushes the entry at position i. Returns false if the entry should have been deleted only now, and somebody else has
 * deleted it already. */
static bool walk_push_entry(lua_State *L, struct walk *w, int64_t i)
{
	w->held = w->taking && !takes_later(w);
	lbpf_map_decode_key(L, w->map, w->keys + (size_t)i * w->map->key_size);
	if (w->summing)
		lbpf_map_decode_sum(L, w->map, w->values + (size_t)i * lbpf_map_bytes(w->map));
	else if (!w->keys_only)
		lbpf_map_decode_value(L, w->map, w->values + (size_t)i * lbpf_map_bytes(w->map));
	if (w->closed)
		luaL_error(L, "this iteration was closed in the middle of a step");
	w->held = false;
	if (takes_later(w))
		w->err = lbpf_map_erase(w->map, w->keys);
	if (w->err != ENOENT)
		return true;
	w->err = 0;
	return false;
}

/* After a fork, the child doesn't own the entries that its parent had taken: the parent hands them out or puts them
 * back. */
static void walk_inherit(struct walk *w)
{
	if (!w->taking || lbpf_class_is_here(&w->self.head))
		return;
	w->self.head.process = lbpf_process_number();
	w->held = false;
	if (!w->stepping)
		w->at = w->count;
}

/* Pushes the next key, and the value unless only keys are wanted. Returns the number of values pushed: 0 at the end. */
static int walk_push_next(lua_State *L, int idx, struct walk *w)
{
	int top = lua_gettop(L);
	int64_t i;

	if (lbpf_unlikely(w->closed))
		return 0;
	if (lbpf_unlikely(w->busy))
		luaL_error(L, "this iteration is in the middle of a step, or it has failed");
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

/* The function that a loop calls. The walk is its upvalue. The argument is only compared: a script may pass anything,
 * even the memory of a walk that was collected. */
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

/* Puts back the entries that were taken and that the script didn't get, unless the key was inserted again meanwhile.
 * Returns 0 or the last errno; *lost becomes the number of entries that could not be put back. */
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

/* Collection: a loop in a coroutine that is never resumed doesn't close its walk, so the finalizer puts entries
 * back. */
static void walk_release(lua_State *L, int idx, void *self)
{
	lua_Integer lost;

	(void)L;
	(void)idx;
	walk_put_back(self, &lost);
}

int lbpf_walk_begin(lua_State *L, int map_idx, enum lbpf_walk_what what)
{
	struct walk *w = walk_push(L, map_idx, lua_touserdata(L, map_idx), what == LBPF_WALK_DRAIN);

	w->keys_only = what == LBPF_WALK_KEYS;
	w->summing = what == LBPF_WALK_SUMS;
	lua_pushvalue(L, -1);
	lua_pushcclosure(L, walk_next, 1);
	lua_insert(L, -2);
	return 2;
}

lua_Integer lbpf_walk_count(lua_State *L, int map_idx)
{
	struct lbpf_map *map = lua_touserdata(L, map_idx);
	struct walk *w = walk_push(L, map_idx, map, false);
	int idx = lua_gettop(L);
	lua_Integer n = 0;

	w->keys_only = true;
	for (; walk_advance(L, idx, w) >= 0; n++) {
		n += (lua_Integer)w->count - w->at;
		w->at = w->count;
	}
	if (w->err)
		lbpf_map_raise(L, map, w->err, "walk");
	lua_settop(L, idx - 1);
	return n;
}

/* ---- walks that other files step ---- */

void lbpf_walk_push(lua_State *L, int map_idx, uint64_t flags)
{
	walk_push(L, map_idx, lua_touserdata(L, map_idx), false)->flags = flags;
}

void lbpf_walk_check(lua_State *L, int idx, const struct lbpf_map *map)
{
	const struct walk *w = lbpf_class_test_borrower(L, idx, &walk_class);

	luaL_argcheck(L, w && w->map == map && !w->keys_only, idx,
		      "the cursor that the previous call returned expected");
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

void lbpf_walk_open(lua_State *L)
{
	lbpf_class_register(L, &walk_class);
	lbpf_class_register(L, &drain_class);
}
