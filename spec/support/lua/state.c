/* SPDX-License-Identifier: MIT */
/* Lua states beside this one, whose memory is counted: require "support.state". */
#include <stdint.h>
#include <stdlib.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

int luaopen_support_state(lua_State *L);

struct memory {
	size_t used, most, limit;
};

static void *allocate(void *ud, void *ptr, size_t osize, size_t nsize)
{
	struct memory *memory = ud;
	size_t old = ptr ? osize : 0; /* for a new block osize is a type tag */
	void *fresh;

	if (nsize == 0) {
		free(ptr);
		memory->used -= old;
		return NULL;
	}
	if (nsize > old && memory->used - old + nsize > memory->limit)
		return NULL;
	fresh = realloc(ptr, nsize);
	if (!fresh)
		return NULL;
	memory->used = memory->used - old + nsize;
	if (memory->used > memory->most)
		memory->most = memory->used;
	return fresh;
}

#if LUA_VERSION_NUM < 505
#define lua_newstate(allocate, data, seed) lua_newstate(allocate, data)
#endif

/* most() in a state → the most bytes it has had since the call before */
static int state_most(lua_State *L)
{
	struct memory *memory = lua_touserdata(L, lua_upvalueindex(1));

	lua_pushinteger(L, (lua_Integer)memory->most);
	memory->most = memory->used;
	return 1;
}

static int run(lua_State *L)
{
	luaL_openlibs(L);
	lua_pushlightuserdata(L, lua_touserdata(L, 2));
	lua_pushcclosure(L, state_most, 1);
	lua_setglobal(L, "most");
	if (luaL_loadstring(L, lua_touserdata(L, 1)))
		return lua_error(L);
	lua_call(L, 0, 1);
	return 1;
}

/* state.run(code, limit) → the number that the code returns. It runs in a state that collects as Lua does by default,
 * with so many bytes at most, and has `most`. What it raises is raised. */
static int state_run(lua_State *L)
{
	const char *code = luaL_checkstring(L, 1);
	struct memory memory = { .limit = (size_t)luaL_checkinteger(L, 2) };
	lua_State *other = lua_newstate(allocate, &memory, 0);
	int status;

	if (!other)
		return luaL_error(L, "no memory for a state");
	lua_pushcfunction(other, run);
	lua_pushlightuserdata(other, (void *)(uintptr_t)code);
	lua_pushlightuserdata(other, &memory);
	status = lua_pcall(other, 2, 1, 0);
	if (status == LUA_OK)
		lua_pushnumber(L, lua_tonumber(other, -1));
	else
		lua_pushstring(L, lua_tostring(other, -1));
	lua_close(other);
	return status == LUA_OK ? 1 : lua_error(L);
}

/* state.raw(size, values) → a userdata of another library's, whose memory is as it is found */
static int state_raw(lua_State *L)
{
	lua_newuserdatauv(L, (size_t)luaL_checkinteger(L, 1), (int)luaL_checkinteger(L, 2));
	return 1;
}

int luaopen_support_state(lua_State *L)
{
	static const luaL_Reg functions[] = { { "run", state_run }, { "raw", state_raw }, { NULL, NULL } };

	luaL_newlib(L, functions);
	return 1;
}
