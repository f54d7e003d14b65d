/* SPDX-License-Identifier: MIT */
/* What the files of the parser of C declarations share: names.c knows names, expr.c constant expressions, tagged.c
 * structs, unions and enums, declarator.c what stands around a name, and cdecl.c all the rest. Every function takes the
 * tokens it understands and leaves the next one in p->lex; what it doesn't understand it raises as an error. */
#ifndef LBPF_CDECL_PARSE_H
#define LBPF_CDECL_PARSE_H

#include <stdbool.h>
#include <stdint.h>

#include <lua.h>

#include "base/compat.h"
#include "cdecl/lex.h"
#include "cdecl/types.h"

#define LBPF_CDECL_DEPTH 64 /* levels that a text may nest */

#define LBPF_COUNT(array) (sizeof(array) / sizeof(*(array)))

struct lbpf_cparser {
	lua_State *L;
	struct lbpf_lex lex;
	struct lbpf_ctypes t;
	int tags, typedefs, consts; /* tables on the Lua stack: names -> types, types, members */
	int depth;
	int unevaluated; /* > 0 in the part of an expression that doesn't count */
};

/* Alignments are 0 if not given. As in gcc, the strictest counts for a member, the last one for a type. */
struct lbpf_cattrs {
	uint32_t strictest, last;
	uint32_t aligned_as; /* the strictest of those given by _Alignas */
	bool packed;
	bool of_enum;	 /* mode(…) is understood */
	uint8_t mode;	 /* the size that it means, in bytes, or 0 */
	const char *tag; /* btf_type_tag("…"), or NULL */
};

/* All that is left of a declarator. */
struct lbpf_cspecs {
	uint32_t type, at;
	bool is_typedef;
	bool is_tagged; /* a struct, union or enum: declares something without a declarator */
	bool defines;	/* with its members */
	struct lbpf_cattrs attrs;
};

struct lbpf_cdeclarator {
	const char *name; /* NULL if it has none */
	uint32_t type, at;
	struct lbpf_cattrs attrs;
};

/* What a word is. Those of integer and floating types add up: each has two bits that count it. */
enum lbpf_cword {
	LBPF_WORD_NONE,
	LBPF_WORD_QUALIFIER,
	LBPF_WORD_STORAGE,
	LBPF_WORD_TAG,
	LBPF_WORD_ATTRIBUTE,
	LBPF_WORD_OPERATOR,
	LBPF_WORD_VOID = 1 << 4, /* the first of those that are types */
	LBPF_WORD_BOOL = 1 << 6,
	LBPF_WORD_CHAR = 1 << 8,
	LBPF_WORD_SHORT = 1 << 10,
	LBPF_WORD_INT = 1 << 12,
	LBPF_WORD_LONG = 1 << 14,
	LBPF_WORD_FLOAT = 1 << 16,
	LBPF_WORD_DOUBLE = 1 << 18,
	LBPF_WORD_SIGNED = 1 << 20,
	LBPF_WORD_UNSIGNED = 1 << 22,
	LBPF_WORD_INT128 = 1 << 24,
};

LBPF_HIDDEN_BEGIN

/* Around whatever nests, so that a text can't exhaust the C stack. */
void lbpf_cparse_enter(struct lbpf_cparser *p);
void lbpf_cparse_leave(struct lbpf_cparser *p);

/* names.c */

/* What the token is. */
uint32_t lbpf_cname_word(const struct lbpf_cparser *p);

/* Whether the token is a name that may be given to something. */
bool lbpf_cname_is_free(const struct lbpf_cparser *p);

/* Whether it is a word of a type or a built-in type. */
bool lbpf_cname_is_builtin(const char *name);

/* What a table has under a name; 0 if nothing. */
uint32_t lbpf_cname_get(const struct lbpf_cparser *p, int table, const char *name);
void lbpf_cname_set(struct lbpf_cparser *p, int table, const char *name, uint32_t i);

/* The type that the name is an alias of, or 0. Built-in names can be had if nothing has used them yet. */
uint32_t lbpf_cname_typedef(struct lbpf_cparser *p, const char *name, bool with_builtins);

/* The type of this kind with this tag, a new one if need be. */
uint32_t lbpf_cname_tag(struct lbpf_cparser *p, enum lbpf_ckind kind, const char *name);

/* Whether the token begins a type. */
bool lbpf_cname_starts_type(struct lbpf_cparser *p);

/* The token is no type. Suggests one. */
_Noreturn void lbpf_cname_unknown_type(struct lbpf_cparser *p);

/* expr.c */

/* A constant expression. */
struct lbpf_cvalue lbpf_cexpr(struct lbpf_cparser *p);

/* tagged.c */

/* With "struct", "union" or "enum" as the token. defines gets whether there are members. */
uint32_t lbpf_ctagged(struct lbpf_cparser *p, bool *defines);

/* Defines one of the kernel's structs if this is one. To be called before a type is used by value. */
void lbpf_ctagged_complete(struct lbpf_cparser *p, uint32_t type);

/* Raises unless the type has a size. what names the thing declared: "member 'x'". */
void lbpf_ctagged_need(struct lbpf_cparser *p, uint32_t type, uint32_t at, const char *what);

/* attrs.c */

/* Whether the token begins attributes. */
bool lbpf_cattr_is(const struct lbpf_cparser *p);

/* Adds all attributes from here on to those that there are. */
void lbpf_cattrs(struct lbpf_cparser *p, struct lbpf_cattrs *a);

/* cdecl.c */

/* Specifiers, among them those of storage if there may be any. */
void lbpf_cparse_specs(struct lbpf_cparser *p, struct lbpf_cspecs *s, bool storage);

/* The type with its type tag, if it has one. Tells the kernel something about pointers to it. */
uint32_t lbpf_cparse_tagged(struct lbpf_cparser *p, uint32_t type, const struct lbpf_cattrs *a);

/* declarator.c */

/* With or without a name, which is left to the caller to want. */
void lbpf_cparse_declarator(struct lbpf_cparser *p, uint32_t base, struct lbpf_cdeclarator *d);

/* "char *", "struct hit[3]": a type without a name. */
uint32_t lbpf_cparse_type_name(struct lbpf_cparser *p);

LBPF_HIDDEN_END

#endif
