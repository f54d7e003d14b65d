/* SPDX-License-Identifier: MIT */
/* Arguments: ranged integers, flags by name, option tables that refuse what they don't know; and fields of results. */
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

/* The integer at idx, which must lie in [min, max]; else raises naming the argument. */
lua_Integer lbpf_arg_int(lua_State *L, int idx, lua_Integer min, lua_Integer max);

/* The same, of units that messages name, in the plural. */
lua_Integer lbpf_arg_units(lua_State *L, int idx, lua_Integer min, lua_Integer max, const char *units);

/* The integer at the top of the stack, the value of a field of a table: raises "<what>: option '<name>' must be …". */
lua_Integer lbpf_arg_field(lua_State *L, const char *what, const char *name, lua_Integer min, lua_Integer max);

/* The string at idx as C reads it; raises naming the argument for anything else, and for one with a NUL, which C would
 * take for its end. */
const char *lbpf_arg_string(lua_State *L, int idx);

/* Whether the string at idx has no NUL. */
bool lbpf_arg_is_text(lua_State *L, int idx);

/* Pushes the value at idx as text for a message, as luaL_tolstring does, with "\0" for NULs. */
const char *lbpf_arg_show(lua_State *L, int idx);

/* Whether a character can be in an identifier of C. isalnum would go by the locale. */
static inline bool lbpf_is_word(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

/* A name and its number. Tables of them end with a NULL name. */
struct lbpf_name {
	const char *name;
	uint64_t value;
};

/* The number of a name, or -1. */
int64_t lbpf_name_value(const struct lbpf_name *names, const char *name);

/* Adds a name to a list that the buffer holds alone. */
static inline void lbpf_list_add(luaL_Buffer *b, const char *name)
{
	if (luaL_bufflen(b))
		luaL_addstring(b, ", ");
	luaL_addstring(b, name);
}

/* Raises "<what> 'x' is unknown (one of: a, b, c)"; never returns. */
_Noreturn void lbpf_name_unknown(lua_State *L, const struct lbpf_name *names, const char *what, const char *got);

/* Flags at idx: nothing or nil, one name, or a sequence of names. Raises for an unknown one, naming all. The table may
 * have fields as well, which the caller reads: those of `also`, which ends with NULL, if it isn't NULL itself. */
uint64_t lbpf_arg_flags(lua_State *L, int idx, const struct lbpf_name *names, const char *const *also);

/* One option of an option table and where its value goes. */
struct lbpf_option {
	const char *name;
	enum {
		LBPF_OPT_U32,	 /* uint32_t */
		LBPF_OPT_S32,	 /* int32_t */
		LBPF_OPT_U64,	 /* uint64_t */
		LBPF_OPT_BOOL,	 /* bool */
		LBPF_OPT_STRING, /* const char *, valid while the table holds it; refused with a NUL in it */
		LBPF_OPT_BYTES,	 /* a string of any bytes, read by the caller */
		LBPF_OPT_OTHER,	 /* read by the caller */
	} kind;
	size_t offset; /* of the field in the caller's struct */
};

/* The row of an option that has the name of its field. */
#define LBPF_OPTION(kind, type, name)                        \
	{                                                    \
#name, LBPF_OPT_##kind, offsetof(type, name) \
	}

/* Fills the fields of *out from the table at idx; absent options leave theirs alone, and so do nil and none in
 * place of the table. Raises for an unknown option, naming all, and for a value of the wrong type. */
void lbpf_arg_options(lua_State *L, int idx, const struct lbpf_option *options, void *out, const char *what);

/* Puts a private copy, without metatable, in place of the table at idx, if there is one: strings read from it stay
 * valid whatever finalizers do to the script's own table. */
void lbpf_arg_own(lua_State *L, int idx);

/* Sets a field of the table at the top. */
void lbpf_set_integer(lua_State *L, const char *key, lua_Integer value);
void lbpf_set_string(lua_State *L, const char *key, const char *value);

/* The number of a network interface. Returns 0, or an errno with the reason in words at the top of the stack. */
int lbpf_arg_interface(lua_State *L, const char *name, uint32_t *number);

LBPF_HIDDEN_END

#endif
