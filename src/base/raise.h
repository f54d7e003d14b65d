/* SPDX-License-Identifier: MIT */
/* Errors that scripts cause, raised with the file and line of the script: those of the nearest Lua function on the call
 * stack. The functions of lauxlib look only at the direct caller. If that is a C function, such as pcall, they find no
 * line. So our functions replace those functions of lauxlib that raise, under the same names. */
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

/* Pushes the place of the nearest Lua function on the call stack, from that level on, as luaL_where does; or "". */
void lbpf_where(lua_State *L, int level);

/* Like lbpf_where, without the colon after it: "tool.lua:23". */
void lbpf_place(lua_State *L);

/* Pushes the error message at idx, a string, without the place that lbpf_where has put before it here. */
const char *lbpf_unplaced(lua_State *L, int idx);

/* lua_call for our own C functions: errors that Lua's core raises in them get the line of the script that called us. */
void lbpf_call(lua_State *L, int nargs, int nresults);

/* Like lbpf_call, but returns the status of lua_pcall instead of raising. */
int lbpf_pcall(lua_State *L, int nargs, int nresults);

/* Calls fn with the caller's arguments and returns what fn returns. For metamethods that Lua's own functions call, as
 * pairs does: errors would have no line otherwise. */
int lbpf_relay(lua_State *L, lua_CFunction fn);

/* Like lbpf_call, but no finalizer runs meanwhile. For work on memory that a finalizer could free by closing a
 * handle. */
void lbpf_call_undisturbed(lua_State *L, int nargs, int nresults);

LBPF_HIDDEN_END

#endif
