/* SPDX-License-Identifier: MIT */
/* Bytes <-> Lua, by the plan of a type. Knows neither libbpf nor system calls. */
#ifndef LBPF_CODEC_H
#define LBPF_CODEC_H

#include <stdbool.h>
#include <stddef.h>

#include <lua.h>

#include "compat.h"
#include "type.h"

LBPF_HIDDEN_BEGIN

/* Writes the value at idx into the type->size bytes at buf, which it zeroes first. Raises, naming the path from
 * `what` ("key", "value", …) on, when it doesn't fit; buf is then half written. Runs no Lua code. */
void lbpf_encode(lua_State *L, const struct lbpf_type *type, int idx, void *buf, const char *what);

/* Pushes the value at buf. len >= type->size bytes are readable; what lies beyond goes to a flexible array. */
void lbpf_decode(lua_State *L, const struct lbpf_type *type, const void *buf, size_t len);

/* Pushes the members of a struct in declaration order, or the one value of anything else; returns how many. */
int lbpf_decode_unpack(lua_State *L, const struct lbpf_type *type, const void *buf, size_t len);

/* Fills the table at idx, reusing the tables in it, and pushes it. The type must be a struct or an array. */
void lbpf_decode_into(lua_State *L, const struct lbpf_type *type, const void *buf, size_t len, int idx);

/* Pushes the sum of `copies` values that lie `stride` bytes apart: numbers add up, everything else is the first's. */
void lbpf_decode_sum(lua_State *L, const struct lbpf_type *type, const void *buf, size_t stride, int copies);

/* Whether the Lua value at idx has the shape of this type; looks no deeper than its first element. */
bool lbpf_accepts(lua_State *L, const struct lbpf_type *type, int idx);

/* Raises unless len bytes can hold a value of this type. */
void lbpf_check_length(lua_State *L, const struct lbpf_type *type, size_t len, const char *what);

/* Scratch for one key or value: on the C stack when small, else in Lua's heap, left on the Lua stack. */
#define LBPF_SCRATCH(L, name, size)                                                      \
	_Alignas(8) char name##_small[LBPF_SMALL];                                       \
	void *name = (size) <= LBPF_SMALL ? (void *)name##_small : lua_newuserdatauv(L, size, 0)

LBPF_HIDDEN_END

#endif
