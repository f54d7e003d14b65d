/* SPDX-License-Identifier: MIT */
/* Index syntax: m[k] looks up a key, m[k] = v updates it, m[k] = nil deletes it. */
#include "map/index.h"

#include <errno.h>
#include <string.h>

#include <linux/bpf.h>

#include "base/syscall.h"
#include "map/map.h"
#include "map/ops.h"

/* An index beyond a mapped array is an error, because reading memory there would be. */
_Noreturn static void no_such_slot(lua_State *L, const struct lbpf_map *map, const char *operation)
{
	luaL_error(L, "map '%s': %s: no such slot, the last one is %I (E2BIG)", lbpf_map_label(map), operation,
		   (LUAI_UACINT)map->max_entries - 1);
	__builtin_unreachable();
}

/* The key of a mapped array. It has 4 bytes, which no compiler knows: gcc believes that a key of 8 might be encoded. */
typedef uint64_t slot_bytes;

static bool has_slot(const struct lbpf_map *map, const void *key)
{
	uint32_t slot;

	memcpy(&slot, key, sizeof(slot));
	return slot < map->max_entries;
}

/* Pushes the slot's value, or returns false if the map isn't mapped. A value that becomes a table is copied first,
 * because creating tables may run a finalizer that closes the map. */
__attribute__((noinline)) static bool index_memory(lua_State *L, struct lbpf_map *map)
{
	slot_bytes slot;
	uint8_t *memory;

	if (!lbpf_map_memory(map))
		return false;
	lbpf_map_encode_key(L, map, 2, &slot);
	memory = lbpf_map_slot(map, &slot);
	if (lbpf_unlikely(!memory))
		no_such_slot(L, map, "lookup");
	if (map->value->depth == 0) {
		lbpf_map_decode_one(L, map, memory);
	} else {
		LBPF_SCRATCH(L, copy, map->value_size);
		memory = lbpf_map_slot(map, &slot);
		if (!memory)
			lbpf_map_unusable(L, map);
		memcpy(copy, memory, map->value_size);
		lbpf_map_decode_one(L, map, copy);
	}
	return true;
}

__attribute__((noinline)) static bool newindex_memory(lua_State *L, struct lbpf_map *map)
{
	slot_bytes slot;
	uint8_t *memory;

	if (!lbpf_map_memory(map) || !map->mem.writable)
		return false;
	lbpf_map_encode_key(L, map, 2, &slot);
	LBPF_SCRATCH(L, value, map->value_size);
	lbpf_map_encode_value(L, map, 3, value);
	if (lbpf_unlikely(!has_slot(map, &slot)))
		no_such_slot(L, map, "update");
	memory = lbpf_map_slot(map, &slot); /* a finalizer may have closed or frozen the map */
	if (lbpf_unlikely(map->fd < 0))
		lbpf_map_unusable(L, map);
	if (lbpf_unlikely(!memory || !map->mem.writable))
		return false;
	lbpf_copy_value(memory, value, map->value_size);
	return true;
}

static int map_index(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, LBPF_LOOKUP, "lookup");
	int err;

	if (map->flags & BPF_F_MMAPABLE && index_memory(L, map))
		return 1;
	LBPF_SCRATCH(L, key, map->key_size);
	LBPF_SCRATCH(L, value, lbpf_map_bytes(map));
	err = lbpf_map_encode_key(L, map, 2, key);
	if (lbpf_likely(!err))
		err = lbpf_sys_elem(BPF_MAP_LOOKUP_ELEM, map->fd, key, value, 0);
	if (lbpf_unlikely(err)) {
		if (err != ENOENT)
			lbpf_map_raise(L, map, err, "lookup");
		lua_pushnil(L);
		return 1;
	}
	lbpf_map_decode_value(L, map, value);
	return 1;
}

static int index_delete(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, LBPF_DELETE, "delete");
	int err;

	LBPF_SCRATCH(L, key, map->key_size);
	err = lbpf_map_encode_key(L, map, 2, key);
	if (!err)
		err = lbpf_map_erase(map, key);
	if (err && err != ENOENT)
		lbpf_map_raise(L, map, err, "delete");
	return 0;
}

static int map_newindex(lua_State *L)
{
	struct lbpf_map *map;
	int err;

	if (lua_isnil(L, 3))
		return index_delete(L);
	map = lbpf_map_check(L, 1, LBPF_UPDATE, "update");
	if (map->flags & BPF_F_MMAPABLE && newindex_memory(L, map))
		return 0;
	LBPF_SCRATCH(L, key, map->key_size);
	LBPF_SCRATCH(L, value, lbpf_map_bytes(map));
	err = lbpf_map_encode_key(L, map, 2, key);
	if (!err)
		err = lbpf_map_encode_value(L, map, 3, value);
	if (lbpf_unlikely(err))
		lbpf_map_raise_because(L, map, err, lua_tostring(L, -1), "update");
	err = lbpf_sys_elem(BPF_MAP_UPDATE_ELEM, map->fd, key, value, BPF_ANY);
	if (lbpf_unlikely(err))
		lbpf_map_raise_because(L, map, err, lbpf_map_invalid(map, err, BPF_ANY), "update");
	return 0;
}

static const luaL_Reg map_meta[] = {
	{ "__index", map_index },
	{ "__newindex", map_newindex },
	{ NULL, NULL },
};

void lbpf_index_open(lua_State *L)
{
	lbpf_class_extend(L, &lbpf_map_class, map_meta);
}
