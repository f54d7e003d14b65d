/* SPDX-License-Identifier: MIT */
/* Iterating over a map: pairs, keys, sums, drain and the length operator. */
#include "map/iterate.h"

#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>

#include "map/map.h"
#include "map/room.h"
#include "map/walk.h"

/* Size of the batches on the C stack that are only counted. */
#define COUNTED_BATCH 8192

static int begin_pairs(lua_State *L)
{
	lbpf_map_check(L, 1, LBPF_LOOKUP | LBPF_WALK, "keys to walk");
	return lbpf_walk_begin(L, 1, LBPF_WALK_PAIRS);
}

static int map_pairs(lua_State *L)
{
	return lbpf_relay(L, begin_pairs);
}

/*** Iterates over the keys of a map: `for k in map.keys(m) do`. The guarantees are those of `pairs`. No value is
converted to Lua, so it costs less than `pairs`.
@function bpf.map.keys
@tparam bpf.map m
@treturn function iterator; for types without keys, the call raises an error; if the kernel refuses, the loop does
@usage
for key in map.keys(m) do
  print(key)  -- 1, 2 and 3, in the kernel's order
end */
static int map_keys(lua_State *L)
{
	lbpf_map_check(L, 1, LBPF_WALK, "keys to walk");
	return lbpf_walk_begin(L, 1, LBPF_WALK_KEYS);
}

/*** Iterates over a per-CPU map: `for k, total in map.sums(m) do`. A value is the sum of all CPUs' values, as
`map.sum` returns it: numbers are added member by member. Entries are read in batches, and the guarantees are those of
`pairs`.
@function bpf.map.sums
@tparam bpf.map m of a per-CPU type
@treturn function iterator; for other types the call raises an error; if the kernel refuses, the loop does
@usage
cpus[0] = 2  -- sets every CPU's value
for slot, total in map.sums(cpus) do
  assert(total == (slot == 0 and 2 * bpf.features.cpus() or 0))
end */
static int map_sums(lua_State *L)
{
	lbpf_map_check(L, 1, LBPF_LOOKUP | LBPF_WALK | LBPF_PERCPU, "values to sum");
	return lbpf_walk_begin(L, 1, LBPF_WALK_SUMS);
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

/*** Iterates over a map and deletes each entry that it returns: `for k, v in map.drain(m) do`. For a queue or stack, it
pops elements until none is left: `for v in map.drain(queue) do`.

In hashes, queues and stacks, looking up and deleting an entry is atomic; in hashes since kernel 5.6 for batches and
since 5.14 for single entries. If a program looked up the value just before, what the program adds to it afterwards is
lost. For other types it may take two system calls, between which another writer can change the entry.

A loop that ends early puts back the entries of the current batch that it did not return, except those whose keys were
stored again meanwhile. A process killed by SIGKILL puts nothing back: up to one batch of 256 entries is lost, up to two
with `update_batch(to, drain(from))`.
@function bpf.map.drain
@tparam bpf.map m
@treturn function iterator, with the value that `for` closes; for types whose entries can't be deleted, the call raises
 an error; if the kernel refuses, the loop does
@usage
local sum = 0
for key, value in map.drain(m) do sum = sum + value end
assert(sum == 60 and #m == 0)
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
	lbpf_walk_begin(L, 1, LBPF_WALK_DRAIN);
	lua_pushnil(L);
	lua_pushvalue(L, -2);
	return 4;
}

/* Counts entries in batches and drops their contents. Returns false if it needs a walk, which also reports errors. */
static bool count_batches(const struct lbpf_map *map, lua_Integer *n)
{
	_Alignas(8) uint8_t buffer[COUNTED_BATCH];
	size_t cursor = lbpf_room_cursor(map);
	uint32_t room = lbpf_room_in(map, sizeof(buffer) - 2 * cursor - 8), count;
	uint8_t *in = buffer, *out = buffer + cursor, *keys = out + cursor, *values = keys + lbpf_room_keys(map, room);
	bool first = true;
	int err;

	if (!(map->kind->can & LBPF_BATCH) || lbpf_room_bytes(map, room) > sizeof(buffer))
		return false;
	*n = 0;
	do {
		count = room;
		err = bpf_map_lookup_batch(map->fd, first ? NULL : in, out, keys, values, &count, NULL) ? errno : 0;
		if (err && err != ENOENT)
			return false;
		*n += count;
		first = false;
		memcpy(in, out, cursor);
	} while (!err);
	return true;
}

/* #m: for arrays the number of slots; for other maps the number of entries, which have to be iterated over. */
static int map_len(lua_State *L)
{
	const struct lbpf_map *map = lbpf_map_check(L, 1, 0, "length");
	lua_Integer n = map->max_entries;

	if (!(map->kind->can & LBPF_INDEXED)) {
		lbpf_map_check(L, 1, LBPF_WALK, "length");
		if (!count_batches(map, &n))
			n = lbpf_walk_count(L, 1);
	}
	lua_pushinteger(L, n);
	return 1;
}

static const luaL_Reg map_meta[] = {
	{ "__pairs", map_pairs },
	{ "__len", map_len },
	{ NULL, NULL },
};

static const luaL_Reg map_functions[] = {
	{ "keys", map_keys },
	{ "sums", map_sums },
	{ "drain", map_drain },
	{ NULL, NULL },
};

void lbpf_iterate_open(lua_State *L)
{
	lbpf_class_extend(L, &lbpf_map_class, map_meta);
	lua_getfield(L, -1, "map");
	luaL_setfuncs(L, map_functions, 0);
	lua_pop(L, 1);
}
