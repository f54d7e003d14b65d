/* SPDX-License-Identifier: MIT */
/* Errors with the script's file and line. */
#include "base/raise.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

void lbpf_where(lua_State *L, int level)
{
	lua_Debug ar;

	while (lua_getstack(L, level, &ar) && lua_getinfo(L, "S", &ar) && *ar.what == 'C')
		level++;
	luaL_where(L, level);
}

void lbpf_place(lua_State *L)
{
	size_t len;
	const char *where;

	lbpf_where(L, 1);
	where = lua_tolstring(L, -1, &len);
	lua_pushlstring(L, where, len < 2 ? 0 : len - 2);
	lua_remove(L, -2);
}

const char *lbpf_unplaced(lua_State *L, int idx)
{
	const char *message = lua_tostring(L, idx);
	size_t len;
	const char *where;

	lbpf_where(L, 1);
	where = lua_tolstring(L, -1, &len);
	message = lua_pushstring(L, strncmp(message, where, len) == 0 ? message + len : message);
	lua_remove(L, -2);
	return message;
}

_Noreturn int lbpf_raise(lua_State *L, const char *fmt, ...)
{
	va_list args;

	luaL_checkstack(L, 8, NULL);
	lbpf_where(L, 1);
	va_start(args, fmt);
	lua_pushvfstring(L, fmt, args);
	va_end(args);
	lua_concat(L, 2);
	lua_error(L);
	__builtin_unreachable();
}

/* Pushes the name that the function at idx has in the table at the top or in a table within it: "map.create". */
static bool push_name_in(lua_State *L, int idx, int depth)
{
	int table = lua_gettop(L);

	for (lua_pushnil(L); lua_next(L, table); lua_settop(L, table + 1)) {
		if (lua_type(L, -2) != LUA_TSTRING)
			continue;
		if (lua_rawequal(L, -1, idx)) {
			lua_pushvalue(L, -2);
			return true;
		}
		if (depth > 0 && lua_istable(L, -1) && push_name_in(L, idx, depth - 1)) {
			lua_pushfstring(L, "%s.%s", lua_tostring(L, table + 1), lua_tostring(L, -1));
			return true;
		}
	}
	return false;
}

/* Pushes the name of a function that was called by a C function: its name in a module or, for functions of C hosts, the
 * name of its global variable. Lua doesn't know the name of such calls. */
static const char *push_name(lua_State *L, lua_Debug *ar)
{
	int idx;

	lua_getinfo(L, "f", ar);
	idx = lua_gettop(L);
	lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
	if (lua_getfield(L, -1, "bpf.core") == LUA_TTABLE && push_name_in(L, idx, 1))
		return lua_pushfstring(L, "bpf.%s", lua_tostring(L, -1));
	lua_settop(L, idx);
	lua_pushglobaltable(L);
	return push_name_in(L, idx, 0) ? lua_tostring(L, -1) : NULL;
}

_Noreturn int lbpf_raise_argument(lua_State *L, int arg, const char *why)
{
	lua_Debug ar;

	luaL_checkstack(L, 20, NULL);
	if (!lua_getstack(L, 0, &ar))
		luaL_error(L, "bad argument #%d (%s)", arg, why);
	lua_getinfo(L, "n", &ar);
	if (strcmp(ar.namewhat, "method") == 0 && --arg == 0)
		luaL_error(L, "calling '%s' on bad self (%s)", ar.name, why);
	if (!ar.name)
		ar.name = push_name(L, &ar);
	luaL_error(L, "bad argument #%d%s%s%s (%s)", arg, ar.name ? " to '" : "", ar.name ? ar.name : "",
		   ar.name ? "'" : "", why);
}

_Noreturn int lbpf_raise_type(lua_State *L, int arg, const char *expected)
{
	const char *got;

	luaL_checkstack(L, 4, NULL);
	if (luaL_getmetafield(L, arg, "__name") == LUA_TSTRING)
		got = lua_tostring(L, -1);
	else
		got = lua_type(L, arg) == LUA_TLIGHTUSERDATA ? "light userdata" : luaL_typename(L, arg);
	luaL_argerror(L, arg, lua_pushfstring(L, "%s expected, got %s", expected, got));
}

const char *lbpf_raise_unless_text(lua_State *L, int arg, size_t *len)
{
	const char *text = lua_tolstring(L, arg, len);

	if (lbpf_unlikely(!text))
		luaL_typeerror(L, arg, lua_typename(L, LUA_TSTRING));
	return text;
}

lua_Integer lbpf_raise_unless_integer(lua_State *L, int arg)
{
	int is_int;
	lua_Integer n = lua_tointegerx(L, arg, &is_int);

	if (lbpf_likely(is_int))
		return n;
	if (lua_isnumber(L, arg))
		luaL_argerror(L, arg, "number has no integer representation");
	luaL_typeerror(L, arg, lua_typename(L, LUA_TNUMBER));
}

void lbpf_raise_unless_type(lua_State *L, int arg, int type)
{
	if (lbpf_unlikely(lua_type(L, arg) != type))
		luaL_typeerror(L, arg, lua_typename(L, type));
}

void lbpf_raise_unless_any(lua_State *L, int arg)
{
	if (lbpf_unlikely(lua_type(L, arg) == LUA_TNONE))
		luaL_argerror(L, arg, "value expected");
}

void *lbpf_raise_unless_userdata(lua_State *L, int arg, const char *name)
{
	void *self = luaL_testudata(L, arg, name);

	if (lbpf_unlikely(!self))
		luaL_typeerror(L, arg, name);
	return self;
}

/* ---- C functions of ours that call others ---- */

/* The message handler of a call from C to C. Lua's core finds no line in the called C function, so the message gets the
 * line of the Lua function that called us. Errors of Lua code further up have their own line already. */
static int add_place(lua_State *L)
{
	lua_Debug raiser, caller;
	const char *where;

	if (lua_type(L, 1) != LUA_TSTRING || !lua_getstack(L, 1, &raiser) || !lua_getstack(L, 2, &caller))
		return 1;
	lua_getinfo(L, "S", &raiser);
	lua_getinfo(L, "S", &caller);
	if (*raiser.what != 'C' || *caller.what != 'C')
		return 1;
	lbpf_where(L, 1);
	where = lua_tostring(L, -1);
	lua_pushvalue(L, 1);
	/* Otherwise it has a line already. */
	if (strncmp(lua_tostring(L, 1), where, strlen(where)) != 0)
		lua_concat(L, 2);
	return 1;
}

int lbpf_pcall(lua_State *L, int nargs, int nresults)
{
	int handler = lua_gettop(L) - nargs, status;

	luaL_checkstack(L, 1, NULL);
	lua_pushcfunction(L, add_place);
	lua_insert(L, handler);
	status = lua_pcall(L, nargs, nresults, handler);
	lua_remove(L, handler);
	return status;
}

void lbpf_call(lua_State *L, int nargs, int nresults)
{
	if (lbpf_pcall(L, nargs, nresults) != LUA_OK)
		lua_error(L);
}

int lbpf_relay(lua_State *L, lua_CFunction fn)
{
	lua_pushcfunction(L, fn);
	lua_insert(L, 1);
	lbpf_call(L, lua_gettop(L) - 1, LUA_MULTRET);
	return lua_gettop(L);
}

void lbpf_call_undisturbed(lua_State *L, int nargs, int nresults)
{
	int running = lua_gc(L, LUA_GCISRUNNING), status;

	luaL_checkstack(L, 2, NULL); /* now, because it may raise */
	lua_gc(L, LUA_GCSTOP);
	status = lbpf_pcall(L, nargs, nresults);
	if (running)
		lua_gc(L, LUA_GCRESTART);
	if (status != LUA_OK)
		lua_error(L);
}
