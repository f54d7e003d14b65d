/* SPDX-License-Identifier: MIT */
/* What a look-up through Lua's index syntax costs at the very least: an __index that makes the system call and does
 * nothing else, neither checks its arguments nor decodes. */
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>

#include <linux/bpf.h>

int luaopen_floor(lua_State *L);

static int floor_index(lua_State *L)
{
	uint32_t key = (uint32_t)lua_tointegerx(L, 2, NULL);
	union bpf_attr attr;
	uint64_t value[8];

	memset(&attr, 0, 32);
	attr.map_fd = *(uint32_t *)lua_touserdata(L, 1);
	attr.key = (uintptr_t)&key;
	attr.value = (uintptr_t)value;
	lua_pushinteger(L, syscall(__NR_bpf, BPF_MAP_LOOKUP_ELEM, &attr, 32) ? -1 : (lua_Integer)value[0]);
	return 1;
}

/* Takes a map's descriptor, gives an object to index with its __u32 keys. */
static int floor_new(lua_State *L)
{
	uint32_t *fd = lua_newuserdatauv(L, sizeof(*fd), 0);

	*fd = (uint32_t)luaL_checkinteger(L, 1);
	lua_newtable(L);
	lua_pushcfunction(L, floor_index);
	lua_setfield(L, -2, "__index");
	lua_setmetatable(L, -2);
	return 1;
}

int luaopen_floor(lua_State *L)
{
	lua_pushcfunction(L, floor_new);
	return 1;
}
