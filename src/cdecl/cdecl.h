/* SPDX-License-Identifier: MIT */
/* Parses C declarations into BTF. */
#ifndef LBPF_CDECL_H
#define LBPF_CDECL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lua.h>

#include "base/compat.h"

struct btf;

/* A part of a text, and the type of its last declaration: 0 if it has no declaration. */
struct lbpf_cpiece {
	uint32_t end; /* in the text, where the next one begins */
	uint32_t id;
};

/* A text of declarations in pieces. */
struct lbpf_cpieces {
	struct lbpf_cpiece *piece;
	uint32_t count;
	uint32_t failed; /* the piece with an error; `count` if no piece has one */
};

LBPF_HIDDEN_BEGIN

/* Parses the C declarations in text and adds their types to btf. Names are looked up in btf, which may be empty, hold
 * earlier declarations, or be a split BTF over a base. Returns the BTF type id (> 0) of the last declaration. Raises a
 * Lua error for bad text.
 *
 * BTF has no alignments: a struct of an earlier text counts as aligned as its members are. */
int lbpf_cdecl(lua_State *L, struct btf *btf, const char *text, size_t len);

/* Like lbpf_cdecl, for a text in pieces, each of which may be empty, or only declare something. Every piece gets its
 * id. For bad text, returns false with an error at the top of the stack. */
bool lbpf_cdecl_pieces(lua_State *L, struct btf *btf, const char *text, size_t len, struct lbpf_cpieces *pieces);

/* Whether name is a built-in type name such as "int" or "__u32". */
bool lbpf_cdecl_is_builtin(const char *name);

LBPF_HIDDEN_END

#endif
