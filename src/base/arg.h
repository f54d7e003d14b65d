/* SPDX-License-Identifier: MIT */
/* Reading arguments: integers in a range, flags by name, tables of options that refuse unknown options. And setting
 * fields of result tables. */
#ifndef LBPF_BASE_ARG_H
#define LBPF_BASE_ARG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lauxlib.h>
#include <lua.h>

#include "base/compat.h"
#include "base/raise.h"

LBPF_HIDDEN_BEGIN

/* The integer at idx. Raises an error that names the argument unless it lies in [min, max]. */
lua_Integer lbpf_arg_int(lua_State *L, int idx, lua_Integer min, lua_Integer max);

/* Like lbpf_arg_int; the message names the units, in the plural. */
lua_Integer lbpf_arg_units(lua_State *L, int idx, lua_Integer min, lua_Integer max, const char *units);

/* The integer at the top of the stack, which is the value of an option in a table. Raises "<what>: option '<name>' must
 * be …" unless it lies in [min, max]. */
lua_Integer lbpf_arg_field(lua_State *L, const char *what, const char *name, lua_Integer min, lua_Integer max);

/* The string at idx. Raises an error that names the argument for anything else, and for a string that contains a NUL,
 * because C would take the NUL for its end. */
const char *lbpf_arg_string(lua_State *L, int idx);

/* Whether the string at idx contains no NUL. */
bool lbpf_arg_is_text(lua_State *L, int idx);

/* Pushes the value at idx as text for a message, as luaL_tolstring does, with "\0" for NULs. */
const char *lbpf_arg_show(lua_State *L, int idx);

/* Whether a character can be in an identifier of C. isalnum depends on the locale. */
static inline bool lbpf_is_word(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

/* A name and its number. A table of names ends with a NULL name. */
struct lbpf_name {
	const char *name;
	uint64_t value;
};

/* The number of a name, or -1. */
int64_t lbpf_name_value(const struct lbpf_name *names, const char *name);

/* Adds a name to a list, the only contents of the buffer: after the first name, with ", " before it. */
static inline void lbpf_list_add(luaL_Buffer *b, const char *name)
{
	if (luaL_bufflen(b))
		luaL_addstring(b, ", ");
	luaL_addstring(b, name);
}

/* Raises "<what> 'x' is unknown (one of: a, b, c)"; never returns. */
_Noreturn void lbpf_name_unknown(lua_State *L, const struct lbpf_name *names, const char *what, const char *got);

/* The flags at idx: none or nil, one name, or a sequence of names. Raises for an unknown name, and lists all names.
 * If `also`, which ends with NULL, isn't NULL itself, the table may also have the fields it names; the caller reads
 * these. */
uint64_t lbpf_arg_flags(lua_State *L, int idx, const struct lbpf_name *names, const char *const *also);

/* One option of an option table and where its value goes. */
struct lbpf_option {
	const char *name;
	enum {
		LBPF_OPT_U32,  /* uint32_t */
		LBPF_OPT_S32,  /* int32_t */
		LBPF_OPT_U64,  /* uint64_t */
		LBPF_OPT_BOOL, /* bool */
		/* A const char *, valid while the table holds it; a string with a NUL is refused */
		LBPF_OPT_STRING,
		LBPF_OPT_BYTES, /* a string, which may contain NULs: read by the caller */
		LBPF_OPT_OTHER, /* any type: read by the caller */
	} kind;
	size_t offset; /* of the field in the caller's struct */
};

/* The row of an option that has the same name as its field. */
#define LBPF_OPTION(kind, type, name)                        \
	{                                                    \
#name, LBPF_OPT_##kind, offsetof(type, name) \
	}

/* Stores the options of the table at idx in the fields of *out. The field of an absent option keeps its value; nil and
 * none in place of the table leave all fields as they are. Raises for a value of the wrong type, and for an unknown
 * option, with a list of all options. */
void lbpf_arg_options(lua_State *L, int idx, const struct lbpf_option *options, void *out, const char *what);

/* Replaces the table at idx, if there is one, by a private copy without a metatable. Strings that were read from the
 * copy stay valid, even if a finalizer changes the script's own table. */
void lbpf_arg_own(lua_State *L, int idx);

/* Set a field of the table at the top. */
void lbpf_set_integer(lua_State *L, const char *key, lua_Integer value);
void lbpf_set_string(lua_State *L, const char *key, const char *value);

/* Stores the index of the network interface with this name. Returns 0, or an errno with the reason in words at the top
 * of the stack. */
int lbpf_arg_interface(lua_State *L, const char *name, uint32_t *number);

LBPF_HIDDEN_END

#endif
