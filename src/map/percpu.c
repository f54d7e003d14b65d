/* SPDX-License-Identifier: MIT */
/* Per-CPU values: a sequence with a value for each possible CPU, or a single value, which sets all CPUs. */
#include <string.h>

#include <lauxlib.h>

#include "map/conv.h"
#include "map/map.h"

static int percpu_encode(lua_State *L, const struct lbpf_map *map, int idx, void *buf)
{
	char *p = buf;
	bool each = false;

	memset(buf, 0, lbpf_map_bytes(map));
	if (lua_istable(L, idx)) {
		each = lua_rawgeti(L, idx, 1) != LUA_TNIL && lbpf_accepts(L, map->value, -1);
		lua_pop(L, 1);
	}
	if (!each) {
		lbpf_encode(L, map->value, idx, p, "value");
		for (uint32_t cpu = 1; cpu < map->cpus; cpu++)
			memcpy(p + (size_t)cpu * map->stride, p, map->value_size);
		return 0;
	}
	if (lua_rawlen(L, idx) != map->cpus)
		luaL_error(L, "value: %I values given for %I possible CPUs", (LUAI_UACINT)lua_rawlen(L, idx),
			   (LUAI_UACINT)map->cpus);
	for (uint32_t cpu = 0; cpu < map->cpus; cpu++) {
		lua_rawgeti(L, idx, (lua_Integer)cpu + 1);
		lbpf_encode(L, map->value, -1, p + (size_t)cpu * map->stride, "value");
		lua_pop(L, 1);
	}
	return 0;
}

static void percpu_decode(lua_State *L, const struct lbpf_map *map, const void *buf, int into)
{
	const char *p = buf;
	bool tables = into && map->value->node[0].kind >= LBPF_ARRAY;

	if (into)
		lua_pushvalue(L, into);
	else
		lua_createtable(L, (int)map->cpus, 0);
	for (uint32_t cpu = 0; cpu < map->cpus; cpu++, p += map->stride) {
		if (tables) {
			if (lua_rawgeti(L, -1, (lua_Integer)cpu + 1) == LUA_TTABLE) {
				lbpf_decode_into(L, map->value, p + map->at, map->value->size, -1);
				lua_pop(L, 2);
				continue;
			}
			lua_pop(L, 1);
		}
		lbpf_map_decode_one(L, map, p);
		lua_rawseti(L, -2, (lua_Integer)cpu + 1);
	}
}

const struct lbpf_conv lbpf_conv_percpu = { .encode = percpu_encode, .decode = percpu_decode };
