/* SPDX-License-Identifier: MIT */
/* Stack traces: sequences of addresses, or of places in files, with as many elements as the stack had. */
#include <string.h>

#include <linux/bpf.h>

#include <lauxlib.h>

#include "base/arg.h"
#include "map/conv.h"
#include "map/map.h"

/* Pushes frame i, or nil after the last one. */
static void push_address(lua_State *L, const char *frames, uint32_t i)
{
	lua_Integer address = lbpf_load_int(LBPF_U64, frames + i * sizeof(uint64_t));

	if (address)
		lua_pushinteger(L, address);
	else
		lua_pushnil(L);
}

/* The same for maps with build ids. If the kernel found no build id, it stores the address. */
static void push_place(lua_State *L, const char *frames, uint32_t i)
{
	struct bpf_stack_build_id place;

	memcpy(&place, frames + i * sizeof(place), sizeof(place));
	if (place.status == BPF_STACK_BUILD_ID_EMPTY) {
		lua_pushnil(L);
		return;
	}
	lua_createtable(L, 0, 2);
	if (place.status == BPF_STACK_BUILD_ID_IP) {
		lbpf_set_integer(L, "ip", (lua_Integer)place.ip);
		return;
	}
	lua_pushlstring(L, (const char *)place.build_id, sizeof(place.build_id));
	lua_setfield(L, -2, "build_id");
	lbpf_set_integer(L, "offset", (lua_Integer)place.offset);
}

static void stack_decode(lua_State *L, const struct lbpf_map *map, const void *buf, int into)
{
	bool places = map->flags & BPF_F_STACK_BUILD_ID;
	uint32_t room = map->value_size / (uint32_t)(places ? sizeof(struct bpf_stack_build_id) : sizeof(uint64_t));
	lua_Integer n = 1, had;

	if (into)
		lua_pushvalue(L, into);
	else
		lua_newtable(L);
	had = (lua_Integer)lua_rawlen(L, -1);
	for (uint32_t i = 0; i < room; i++, n++) {
		(places ? push_place : push_address)(L, buf, i);
		if (lua_isnil(L, -1)) {
			lua_pop(L, 1);
			break;
		}
		lua_rawseti(L, -2, n);
	}
	for (; n <= had; n++) {
		lua_pushnil(L);
		lua_rawseti(L, -2, n);
	}
}

const struct lbpf_conv lbpf_conv_stack = { .encode = NULL, .decode = stack_decode };
