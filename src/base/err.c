/* SPDX-License-Identifier: MIT */
/* Failures that the script can't prevent: `nil, message, code`. */
#define _GNU_SOURCE
#include "base/err.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/libbpf.h>

#include <lauxlib.h>

/* libbpf's own error numbers, from LIBBPF_ERRNO__START on. */
static const char *const libbpf_codes[] = {
	"LIBBPF_ERRNO__LIBELF",	  "LIBBPF_ERRNO__FORMAT",  "LIBBPF_ERRNO__KVERSION", "LIBBPF_ERRNO__ENDIAN",
	"LIBBPF_ERRNO__INTERNAL", "LIBBPF_ERRNO__RELOC",   "LIBBPF_ERRNO__LOAD",     "LIBBPF_ERRNO__VERIFY",
	"LIBBPF_ERRNO__PROG2BIG", "LIBBPF_ERRNO__KVER",	   "LIBBPF_ERRNO__PROGTYPE", "LIBBPF_ERRNO__WRNGPID",
	"LIBBPF_ERRNO__INVSEQ",	  "LIBBPF_ERRNO__NLPARSE",
};

static const char *err_libbpf_code(int err)
{
	size_t i = (size_t)(err - LIBBPF_ERRNO__LIBELF);

	if (err < LIBBPF_ERRNO__LIBELF || i >= sizeof(libbpf_codes) / sizeof(*libbpf_codes))
		return NULL;
	return libbpf_codes[i];
}

void lbpf_err_code(lua_State *L, int err)
{
	const char *name;

	err = abs(err);
	name = err == ENOTSUPP ? "ENOTSUPP" : err_libbpf_code(err);
	if (!name)
		name = strerrorname_np(err);
	if (name)
		lua_pushstring(L, name);
	else
		lua_pushfstring(L, "E%d", err);
}

static void err_push_cause(lua_State *L, int err)
{
	const char *text = strerrordesc_np(err);
	char buf[128];

	if (err == ENOTSUPP) {
		text = "not supported by this kernel";
	} else if (err_libbpf_code(err)) {
		libbpf_strerror(err, buf, sizeof(buf));
		text = buf;
	}
	lua_pushstring(L, text ? text : "unknown error");
}

/* Replaces the string at the top, <what>, by "<what>: <cause> (CODE)". */
static void err_finish(lua_State *L, int err, const char *cause)
{
	err = abs(err);
	if (cause)
		lua_pushstring(L, cause);
	else
		err_push_cause(L, err);
	lbpf_err_code(L, err);
	lua_pushfstring(L, "%s: %s (%s)", lua_tostring(L, -3), lua_tostring(L, -2), lua_tostring(L, -1));
	lua_replace(L, -4);
	lua_pop(L, 2);
}

int lbpf_err_push(lua_State *L, int err, const char *cause, const char *fmt, ...)
{
	va_list args;

	luaL_checkstack(L, 8, NULL);
	lua_pushnil(L);
	va_start(args, fmt);
	lua_pushvfstring(L, fmt, args);
	va_end(args);
	err_finish(L, err, cause);
	lbpf_err_code(L, err);
	return 3;
}

_Noreturn void lbpf_err_raise(lua_State *L, int err, const char *cause, const char *fmt, ...)
{
	va_list args;

	luaL_checkstack(L, 8, NULL);
	lbpf_where(L, 1);
	va_start(args, fmt);
	lua_pushvfstring(L, fmt, args);
	va_end(args);
	err_finish(L, err, cause);
	lua_concat(L, 2);
	lua_error(L);
	__builtin_unreachable();
}
