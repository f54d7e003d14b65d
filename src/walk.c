/* SPDX-License-Identifier: MIT */
/* Walking a map: pairs, keys, the length operator, and drain, which takes entries out as it goes.
 *
 * Where a kind's batches go from bucket to bucket, a walk fetches in batches: a bucket is read at once, so nothing is
 * seen twice or missed whatever others do. Elsewhere it steps by key. There the kernel starts over from the first key
 * when the one to go on from has been deleted; the walk notices by the keys it has seen, goes back to the last one that
 * is still there, and forward from there over those it has seen. And the kernel passes over keys when the ones beside
 * them change at that very moment; so in the end the walk asks once more what follows each key that it has seen. */
#include "walk.h"

#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>

#include "arg.h"
#include "err.h"
#include "map.h"
#include "mapops.h"
#include "seen.h"

struct walk {
	struct lbpf_head head;
	struct lbpf_map *map; /* kept by a user value */
	uint64_t flags;	      /* of the look-ups */
	bool keys_only;
	bool taking;   /* out of the map */
	bool stepping; /* by key; else in batches */
	bool checking; /* steps are at their end, and being looked over */
	bool started, ended;
	bool held;		  /* the entry being handed out is out of the map */
	bool closed;		  /* what was held has been put back */
	int err;		  /* an errno that ended it */
	bool busy;		  /* a finalizer must not step it while it moves; stays set by an error */
	uint32_t room, count, at; /* entries: that fit, that are there, that have been handed out */
	uint8_t *in, *out;	  /* cursor of the next batch and of the one after */
	uint8_t *keys, *values;	  /* all four in one buffer, kept by a user value */
	struct lbpf_seen seen;
	uint64_t checked;     /* positions in seen */
	uint64_t calls, most; /* for keys: made, and at most, whatever others insert meanwhile */
	uint32_t rounds;      /* begun anew */
	bool again;	      /* to be */
};

/* How often a walk by steps begins anew, and calls for keys for each entry that a map can have. */
#define MOST_ROUNDS 4
#define MOST_CALLS 64

enum { WALK_MAP = 1, WALK_BUFFER, WALK_SEEN, WALK_SLOTS = WALK_SEEN + LBPF_SEEN_SLOTS - 1 };

static const struct lbpf_class walk_class;

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
static struct walk *walk_push(lua_State *L, int map_idx, struct lbpf_map *map)
{
	struct walk *w;

	map_idx = lua_absindex(L, map_idx);
	w = lbpf_class_new(L, &walk_class, sizeof(*w), WALK_SLOTS);
	w->map = map;
	w->stepping = !(map->kind->can & LBPF_BATCH);
	/* a storage doesn't say how many entries it can have */
	w->most = MOST_CALLS * (uint64_t)(map->max_entries ? map->max_entries : 1 << 16) + 4096;
	lua_pushvalue(L, map_idx);
	lua_setiuservalue(L, -2, WALK_MAP);
	walk_set_room(L, lua_gettop(L), w, w->stepping ? 1 : lbpf_walk_room(map));
	return w;
}

/* Lets go of the buffer of a walk that has ended or was closed: its finalizer would keep it for one more collection.
 * One that is being stepped, by whoever ran a finalizer that closed it, is read from still. */
static void walk_free(lua_State *L, int idx, struct walk *w)
{
	if (w->busy)
		return;
	lua_pushnil(L);
	lua_setiuservalue(L, idx, WALK_BUFFER);
	w->in = w->out = w->keys = w->values = NULL;
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
	for (;;) {
		uint32_t count = w->room;
		int err = batch_call(w, &count);

		if (err == ENOSPC) { /* one bucket holds more than fits */
			walk_set_room(L, idx, w, 2 * w->room);
			if (w->closed)
				return true;
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
}

/* ---- stepping ---- */

static int next_key(struct walk *w, const void *key, void *next)
{
	w->calls++;
	return bpf_map_get_next_key(w->map->fd, key, next) ? errno : 0;
}

/* Goes on behind the last key of the trail that is still there, over those that were seen, which join the trail: so
 * keys that went and came back are passed, not taken for the end. A key is gone when the first one of all follows it;
 * it leaves the trail, and a walk that deletes as it goes stays linear. */
static int step_forward(struct walk *w)
{
	struct lbpf_seen *seen = &w->seen;
	uint32_t size = w->map->key_size;

	while (w->calls < w->most) {
		uint32_t count = seen->trail_count, position;
		int err = next_key(w, count ? lbpf_seen_key(seen, seen->trail[count - 1], size) : NULL, w->keys);

		if (err || !lbpf_seen_find(seen, w->keys, size, &position)) {
			w->again = w->again || (!err && w->rounds);
			return err;
		}
		err = count ? next_key(w, NULL, w->out) : 0;
		if (err)
			return err;
		if (count && memcmp(w->keys, w->out, size) == 0) {
			w->again = true;
			seen->trail_count--;
		} else {
			lbpf_seen_follow(seen, position);
		}
	}
	return ENOENT;
}

/* Looks for a key that nobody has seen behind those that were, which the ones found here join. The one that it stands
 * behind is asked again: the loop may delete what it gets. */
static int step_check(struct walk *w)
{
	uint32_t size = w->map->key_size, position;

	for (; w->checked <= w->seen.count && w->calls < w->most; w->checked++) {
		bool first = w->checked == 0;
		int err =
			next_key(w, first ? NULL : lbpf_seen_key(&w->seen, (uint32_t)(w->checked - 1), size), w->keys);

		if (err && (err != ENOENT || first))
			return err;
		if (!err && !lbpf_seen_find(&w->seen, w->keys, size, &position)) {
			w->again = true;
			return 0;
		}
	}
	return ENOENT;
}

/* Puts the next key in w->keys; ENOENT at the end. Where keys went, or new ones were found late, the walk begins anew,
 * and passes what it has seen. */
static int step_key(struct walk *w)
{
	for (;;) {
		int err = w->checking ? step_check(w) : step_forward(w);

		if (err != ENOENT)
			return err;
		if (w->checking && (!w->again || w->rounds++ == MOST_ROUNDS || w->calls >= w->most))
			return ENOENT;
		if (w->checking) {
			w->again = false;
			w->seen.trail_count = 0;
		}
		w->checking = !w->checking;
	}
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
		err = slots ? step_slot(w) : step_key(w);
		if (err == ENOENT)
			return false;
		if (!err && !slots)
			lbpf_seen_add(L, idx, WALK_SEEN, &w->seen, w->keys, w->map->key_size);
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
	if (!w->taking || lbpf_class_is_here(&w->head))
		return;
	w->head.process = lbpf_process_number();
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
	while ((i = walk_advance(L, idx, w)) >= 0 && lbpf_unlikely(!walk_push_entry(L, w, i)))
		lua_settop(L, top);
	w->busy = false;
	if (lbpf_unlikely(w->err))
		lua_settop(L, top);
	return i < 0 || w->err ? 0 : w->keys_only ? 1 : 2;
}

static int walk_next(lua_State *L)
{
	struct walk *w = lbpf_class_check(L, 1, &walk_class);
	int n = walk_push_next(L, 1, w);

	if (lbpf_likely(n))
		return n;
	walk_free(L, 1, w);
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
	struct walk *w = lbpf_class_check(L, 1, &walk_class);
	bool failing = !lua_isnoneornil(L, 2);
	lua_Integer lost;
	int err;

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

static int begin_pairs(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, LBPF_LOOKUP | LBPF_WALK, "keys to walk");

	lua_pushcfunction(L, walk_next);
	walk_push(L, 1, map);
	return 2;
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

	lua_pushcfunction(L, walk_next);
	walk_push(L, 1, map)->keys_only = true;
	return 2;
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
	struct walk *w;

	lua_settop(L, 1);
	if (map->kind->can & LBPF_POP) {
		lua_pushcfunction(L, drain_queue);
		lua_insert(L, 1);
		return 2;
	}
	if ((map->kind->can & needs) != needs)
		lbpf_map_cannot(L, map, "drain");
	lua_pushcfunction(L, walk_next);
	w = walk_push(L, 1, map);
	w->taking = true;
	w->stepping = w->stepping || takes_later(w);
	lua_pushnil(L);
	lua_pushvalue(L, -2);
	return 4;
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
	w = walk_push(L, 1, map);
	w->keys_only = true;
	for (; walk_advance(L, 2, w) >= 0; n++) {
		n += (lua_Integer)w->count - w->at;
		w->at = w->count;
	}
	walk_free(L, 2, w);
	if (w->err)
		lbpf_map_raise(L, map, w->err, "walk");
	lua_pushinteger(L, n);
	return 1;
}

/* ---- walks that others step ---- */

void lbpf_walk_push(lua_State *L, int map_idx, uint64_t flags)
{
	walk_push(L, map_idx, lua_touserdata(L, map_idx))->flags = flags;
}

void lbpf_walk_check(lua_State *L, int idx, const struct lbpf_map *map)
{
	struct walk *w = lbpf_class_test(L, idx, &walk_class);

	luaL_argcheck(L, w && w->map == map && !w->keys_only && !w->taking, idx,
		      "the cursor expected that the call before returned");
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

static const struct lbpf_class walk_class = { .name = "bpf.walk", .meta = walk_meta, .release = walk_release };

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
	lbpf_class_extend(L, &lbpf_map_class, map_meta);
	lua_getfield(L, -1, "map");
	luaL_setfuncs(L, map_functions, 0);
	lua_pop(L, 1);
}
