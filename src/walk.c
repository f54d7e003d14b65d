/* SPDX-License-Identifier: MIT */
/* Walking a map: pairs, keys and the length operator.
 *
 * Where a kind's batches go from bucket to bucket, a walk fetches in batches: a bucket is read at once, so nothing is
 * seen twice or missed whatever others do. Elsewhere it steps by key. There the kernel starts over from the first key
 * when the one to go on from has been deleted; the walk notices by the keys it has seen and goes back to the last one
 * that is still there. */
#include "walk.h"

#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>

#include "err.h"
#include "map.h"

/* Keys met while stepping, for each walk its own. Positions are the order of meeting. */
struct seen {
	uint8_t *keys;	 /* room keys */
	uint32_t *slots; /* hash table of positions + 1, 2 * room of them, room a power of two */
	uint32_t *trail; /* positions to go back to, the last one on top */
	uint32_t count, room, trail_count;
};

struct walk {
	struct lbpf_head head;
	struct lbpf_map *map; /* kept by a user value */
	bool keys_only;
	bool stepping; /* by key; else in batches */
	bool started, ended;
	bool busy;		  /* a finalizer must not step it while it moves; stays set by an error */
	uint32_t room, count, at; /* entries: that fit, that are there, that have been handed out */
	uint8_t *in, *out;	  /* cursor of the next batch and of the one after */
	uint8_t *keys, *values;	  /* all four in one buffer, kept by a user value */
	struct seen seen;
};

enum { WALK_MAP = 1, WALK_BUFFER, WALK_KEYS, WALK_SLOTS, WALK_TRAIL };

static const struct lbpf_class walk_class = { .name = "bpf.walk" };

/* ---- memory: Lua's, kept by the walk's user values ---- */

/* Replaces user value `slot` of the walk at idx by size fresh bytes and returns them. */
static void *walk_alloc(lua_State *L, int idx, int slot, size_t size)
{
	void *memory = lua_newuserdatauv(L, size, 0);

	lua_setiuservalue(L, idx, slot);
	return memory;
}

static void walk_set_room(lua_State *L, int idx, struct walk *w, uint32_t room)
{
	size_t cursor = (w->map->key_size + 15) / 8 * 8, keys = ((size_t)room * w->map->key_size + 7) / 8 * 8;
	uint32_t bucket = 0; /* the cursor of those kinds that may run out of room */
	uint8_t *buf;

	if (w->started)
		memcpy(&bucket, w->in, sizeof(bucket));
	buf = walk_alloc(L, idx, WALK_BUFFER, 2 * cursor + keys + (size_t)room * lbpf_map_bytes(w->map));
	w->in = buf;
	w->out = buf + cursor;
	w->keys = buf + 2 * cursor;
	w->values = w->keys + keys;
	w->room = room;
	memcpy(w->in, &bucket, sizeof(bucket));
}

uint32_t lbpf_walk_room(const struct lbpf_map *map)
{
	size_t entry = map->key_size + lbpf_map_bytes(map), room = LBPF_BATCH_ENTRIES;

	if (entry * room > 1 << 20)
		room = (1 << 20) / entry;
	if (room > map->max_entries)
		room = map->max_entries;
	return room ? (uint32_t)room : 1;
}

/* Pushes a walk over the map at stack index map_idx. */
static struct walk *walk_push(lua_State *L, int map_idx, struct lbpf_map *map, bool keys_only)
{
	struct walk *w;

	map_idx = lua_absindex(L, map_idx);
	w = lbpf_class_new(L, &walk_class, sizeof(*w), WALK_TRAIL);
	w->map = map;
	w->keys_only = keys_only;
	w->stepping = !(map->kind->can & LBPF_BATCH);
	lua_pushvalue(L, map_idx);
	lua_setiuservalue(L, -2, WALK_MAP);
	walk_set_room(L, lua_gettop(L), w, w->stepping ? 1 : lbpf_walk_room(map));
	return w;
}

/* ---- batches ---- */

/* Fetches the next batch; false when this kernel has none for the map. */
static bool walk_fetch(lua_State *L, int idx, struct walk *w)
{
	for (;;) {
		uint32_t count = w->room;
		int err = bpf_map_lookup_batch(w->map->fd, w->started ? w->in : NULL, w->out, w->keys, w->values,
					       &count, NULL)
			? errno
			: 0;

		if (err == ENOSPC) { /* one bucket holds more than fits */
			walk_set_room(L, idx, w, 2 * w->room);
			continue;
		}
		if (!w->started && (err == EINVAL || err == ENOTSUPP))
			return false;
		if (err && err != ENOENT)
			lbpf_map_raise(L, w->map, err, "walk");
		w->started = true;
		w->ended = err == ENOENT;
		w->count = count;
		w->at = 0;
		memcpy(w->in, w->out, (size_t)(w->out - w->in));
		if (count || w->ended)
			return true;
	}
}

/* ---- stepping ---- */

static uint32_t seen_hash(const uint8_t *key, uint32_t size)
{
	uint32_t h = 2166136261u;

	for (uint32_t i = 0; i < size; i++)
		h = (h ^ key[i]) * 16777619u;
	return h ^ h >> 15;
}

/* The slot that holds the key, or the free one where it belongs. */
static uint32_t *seen_slot(const struct seen *seen, const uint8_t *key, uint32_t size)
{
	uint32_t mask = 2 * seen->room - 1, i = seen_hash(key, size) & mask;

	while (seen->slots[i] && memcmp(seen->keys + (size_t)(seen->slots[i] - 1) * size, key, size) != 0)
		i = (i + 1) & mask;
	return &seen->slots[i];
}

static bool seen_has(const struct seen *seen, const uint8_t *key, uint32_t size)
{
	return seen->room && *seen_slot(seen, key, size);
}

static void seen_grow(lua_State *L, int idx, struct seen *seen, uint32_t size)
{
	uint32_t room = seen->room ? 2 * seen->room : 64;
	uint8_t *keys = lua_newuserdatauv(L, (size_t)room * size, 0);
	uint32_t *slots = lua_newuserdatauv(L, 2 * (size_t)room * sizeof(*slots), 0);
	uint32_t *trail = lua_newuserdatauv(L, (size_t)room * sizeof(*trail), 0);

	if (seen->room) {
		memcpy(keys, seen->keys, (size_t)seen->count * size);
		memcpy(trail, seen->trail, seen->trail_count * sizeof(*trail));
	}
	memset(slots, 0, 2 * (size_t)room * sizeof(*slots));
	lua_setiuservalue(L, idx, WALK_TRAIL);
	lua_setiuservalue(L, idx, WALK_SLOTS);
	lua_setiuservalue(L, idx, WALK_KEYS);
	seen->keys = keys;
	seen->slots = slots;
	seen->trail = trail;
	seen->room = room;
	for (uint32_t i = 0; i < seen->count; i++)
		*seen_slot(seen, keys + (size_t)i * size, size) = i + 1;
}

static void seen_add(lua_State *L, int idx, struct seen *seen, const uint8_t *key, uint32_t size)
{
	if (seen->count == seen->room)
		seen_grow(L, idx, seen, size);
	memcpy(seen->keys + (size_t)seen->count * size, key, size);
	seen->trail[seen->trail_count++] = seen->count;
	*seen_slot(seen, key, size) = ++seen->count;
}

static int next_key(const struct walk *w, const void *key, void *next)
{
	return bpf_map_get_next_key(w->map->fd, key, next) ? errno : 0;
}

/* Finds where to go on after the kernel has started over. A key of the trail is gone when the first key of all
 * follows it; those are dropped for good, so that a walk that deletes as it goes stays linear. */
static int step_back(struct walk *w)
{
	struct seen *seen = &w->seen;
	uint32_t size = w->map->key_size;
	bool dropping = true;
	int err = next_key(w, NULL, w->out);

	if (err)
		return err;
	for (uint32_t i = seen->trail_count; i-- > 0;) {
		err = next_key(w, seen->keys + (size_t)seen->trail[i] * size, w->keys);
		if (err && err != ENOENT)
			return err;
		if (!err && !seen_has(seen, w->keys, size))
			return 0;
		dropping = dropping && !err && memcmp(w->keys, w->out, size) == 0;
		if (dropping)
			seen->trail_count = i;
	}
	return ENOENT;
}

/* Puts the next key in w->keys; ENOENT at the end. */
static int step_key(struct walk *w)
{
	struct seen *seen = &w->seen;
	uint32_t size = w->map->key_size;
	const uint8_t *last = seen->count ? seen->keys + (size_t)(seen->count - 1) * size : NULL;
	int err = next_key(w, last, w->keys);

	if (!err && seen_has(seen, w->keys, size))
		err = step_back(w);
	return err;
}

/* Slots need no memory of those seen: nothing deletes them. */
static int step_slot(struct walk *w)
{
	if (w->at >= w->map->max_entries)
		return ENOENT;
	memcpy(w->keys, &w->at, sizeof(w->at));
	w->at++;
	return 0;
}

/* Moves on to the next entry that is still there when its value is read. An lpm_trie gives a shorter prefix's value
 * for one deleted between the two calls; the kernel has no exact look-up. */
static bool walk_step(lua_State *L, int idx, struct walk *w)
{
	bool slots = w->map->kind->can & LBPF_INDEXED;
	int err;

	for (;;) {
		err = slots ? step_slot(w) : step_key(w);
		if (err == ENOENT)
			return false;
		if (!err && !slots)
			seen_add(L, idx, &w->seen, w->keys, w->map->key_size);
		if (!err && !w->keys_only)
			err = bpf_map_lookup_elem(w->map->fd, w->keys, w->values) ? errno : 0;
		if (!err)
			return true;
		if (err != ENOENT)
			lbpf_map_raise(L, w->map, err, "walk");
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
			return w->count ? (int64_t)w->at++ : -1;
		w->stepping = true;
	}
	if (!w->ended)
		w->ended = !walk_step(L, idx, w);
	return w->ended ? -1 : 0;
}

static int walk_next(lua_State *L)
{
	struct walk *w = lbpf_class_check(L, 1, &walk_class);
	int64_t i;

	if (lbpf_unlikely(w->busy))
		luaL_error(L, "this walk is being stepped already, or has failed");
	w->busy = true;
	i = walk_advance(L, 1, w);
	if (i < 0) {
		w->busy = false;
		lua_pushnil(L);
		return 1;
	}
	lbpf_map_decode_key(L, w->map, w->keys + (size_t)i * w->map->key_size);
	if (!w->keys_only)
		lbpf_map_decode_value(L, w->map, w->values + (size_t)i * lbpf_map_bytes(w->map));
	w->busy = false;
	return w->keys_only ? 1 : 2;
}

static int walk_start(lua_State *L, bool keys_only)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, LBPF_WALK, "keys to walk");

	lua_pushcfunction(L, walk_next);
	walk_push(L, 1, map, keys_only);
	return 2;
}

static int map_pairs(lua_State *L)
{
	return walk_start(L, false);
}

/*** Walks the keys of a map, as pairs walks keys and values: `for k in map.keys(m) do`.
@function bpf.map.keys
@tparam bpf.map m
@treturn function iterator; raises for kinds without keys, and in the loop when the kernel refuses */
static int map_keys(lua_State *L)
{
	return walk_start(L, true);
}

/* The number of slots for arrays; of entries, which have to be walked, for the rest. */
static int map_len(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, 0, "length");
	struct walk *w;
	lua_Integer n = 0;

	if (map->kind->can & LBPF_INDEXED) {
		lua_pushinteger(L, map->max_entries);
		return 1;
	}
	lbpf_map_check(L, 1, LBPF_WALK, "length");
	lua_settop(L, 1);
	w = walk_push(L, 1, map, true);
	for (; walk_advance(L, 2, w) >= 0; n++) {
		n += (lua_Integer)w->count - w->at;
		w->at = w->count;
	}
	lua_pushinteger(L, n);
	return 1;
}

static const luaL_Reg walk_meta[] = {
	{ "__pairs", map_pairs },
	{ "__len", map_len },
	{ NULL, NULL },
};

void lbpf_walk_open(lua_State *L)
{
	lbpf_class_register(L, &walk_class);
	lbpf_class_extend(L, &lbpf_map_class, walk_meta);
	lua_getfield(L, -1, "map");
	lua_pushcfunction(L, map_keys);
	lua_setfield(L, -2, "keys");
	lua_pop(L, 1);
}
