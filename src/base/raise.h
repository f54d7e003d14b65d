/* SPDX-License-Identifier: MIT */
/* Errors that scripts cause, raised with the script's file and line: those of the nearest Lua function that is being
 * called. lauxlib looks no further than our own caller, and finds no line there if that is a C function, such as pcall.
 * So the functions of lauxlib that raise are replaced by ours, under their names. */
#ifndef LBPF_BASE_RAISE_H
#define LBPF_BASE_RAISE_H

#include <stddef.h>

#include <lauxlib.h>
#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

_Noreturn int lbpf_raise(lua_State *L, const char *fmt, ...);
_Noreturn int lbpf_raise_argument(lua_State *L, int arg, const char *why);
_Noreturn int lbpf_raise_type(lua_State *L, int arg, const char *expected);
const char *lbpf_raise_unless_text(lua_State *L, int arg, size_t *len);
lua_Integer lbpf_raise_unless_integer(lua_State *L, int arg);
void lbpf_raise_unless_type(lua_State *L, int arg, int type);
void lbpf_raise_unless_any(lua_State *L, int arg);
void *lbpf_raise_unless_userdata(lua_State *L, int arg, const char *name);

#define luaL_error(L, ...) lbpf_raise(L, __VA_ARGS__)
#define luaL_argerror(L, arg, why) lbpf_raise_argument(L, arg, why)
#define luaL_typeerror(L, arg, expected) lbpf_raise_type(L, arg, expected)
#define luaL_checklstring(L, arg, len) lbpf_raise_unless_text(L, arg, len)
#define luaL_checkinteger(L, arg) lbpf_raise_unless_integer(L, arg)
#define luaL_checktype(L, arg, type) lbpf_raise_unless_type(L, arg, type)
#define luaL_checkany(L, arg) lbpf_raise_unless_any(L, arg)
#define luaL_checkudata(L, arg, name) lbpf_raise_unless_userdata(L, arg, name)

/* Pushes the place of the nearest Lua function that is being called, from that level on, as luaL_where does; or "". */
void lbpf_where(lua_State *L, int level);

/* The same without the colon behind it: "tool.lua:23". */
void lbpf_place(lua_State *L);

/* Pushes the error message at idx, a string, without the place that lbpf_where puts before it here. */
const char *lbpf_unplaced(lua_State *L, int idx);

/* lua_call for C functions of ours: the errors of Lua's core in them get the line of the script that called us. */
void lbpf_call(lua_State *L, int nargs, int nresults);

/* lbpf_call that returns lua_pcall's status in place of raising. */
int lbpf_pcall(lua_State *L, int nargs, int nresults);

/* Calls fn with our arguments and returns what it returns: for metamethods that Lua's own functions call, as pairs
 * does, so that errors don't lack a place. */
int lbpf_relay(lua_State *L, lua_CFunction fn);

/* lbpf_call, with no finalizer run in between: for work on memory that some finalizer's close would free. */
void lbpf_call_undisturbed(lua_State *L, int nargs, int nresults);

LBPF_HIDDEN_END

#endif
