/* SPDX-License-Identifier: MIT */
/* C declarations -> BTF. */
#ifndef LBPF_CDECL_H
#define LBPF_CDECL_H

#include <stdbool.h>
#include <stddef.h>

#include <lua.h>

#include "compat.h"

struct btf;

LBPF_HIDDEN_BEGIN

/* Parses the C declarations in text and adds their types to btf, which may be empty, hold earlier declarations, or be
 * a split BTF over a base: names are looked up in it. Returns the BTF type id (> 0) of the last declaration. Raises a
 * Lua error for bad text. BTF tells no alignment: a struct of an earlier text counts as aligned as its members are. */
int lbpf_cdecl(lua_State *L, struct btf *btf, const char *text, size_t len);

/* Whether name is a built-in type name such as "int" or "__u32". */
bool lbpf_cdecl_is_builtin(const char *name);

LBPF_HIDDEN_END

#endif
