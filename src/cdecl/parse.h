/* SPDX-License-Identifier: MIT */
/* What the files of the parser share: names.c looks up names, expr.c evaluates constant expressions, tagged.c parses
 * structs, unions and enums, attrs.c attributes, declarator.c declarators, and cdecl.c everything else. Every function
 * reads the tokens that it understands and leaves the next one in p->lex. It raises an error for what it doesn't
 * understand. */
#ifndef LBPF_CDECL_PARSE_H
#define LBPF_CDECL_PARSE_H

#include <stdbool.h>
#include <stdint.h>

#include <lua.h>

#include "base/compat.h"
#include "cdecl/lex.h"
#include "cdecl/types.h"

#define LBPF_CDECL_DEPTH 64 /* how deeply a text may nest */

#define LBPF_COUNT(array) (sizeof(array) / sizeof(*(array)))

struct lbpf_cparser {
	lua_State *L;
	struct lbpf_lex lex;
	struct lbpf_ctypes t;
	int tags, typedefs, consts; /* tables on the Lua stack: names -> types, types, members */
	int depth;
	/* > 0 in a part of an expression that isn't evaluated, such as the right side of `0 && …` */
	int unevaluated;
};

/* Attributes. Alignments are 0 if not given. As in gcc, the strictest one counts for a member, the last one for a
 * type. */
struct lbpf_cattrs {
	uint32_t strictest, last;
	uint32_t aligned_as; /* the strictest alignment given by _Alignas */
	bool packed;
	bool of_enum;	 /* these are attributes of an enum, for which mode(…) is allowed */
	uint8_t mode;	 /* the size that mode(…) means, in bytes, or 0 */
	const char *tag; /* btf_type_tag("…"), or NULL */
};

/* Everything before a declarator: the specifiers. */
struct lbpf_cspecs {
	uint32_t type, at;
	bool is_typedef;
	/* A struct, union or enum, which declares something even without a declarator */
	bool is_tagged;
	bool defines; /* the members are given as well */
	struct lbpf_cattrs attrs;
};

struct lbpf_cdeclarator {
	const char *name; /* NULL if it has none */
	uint32_t type, at;
	struct lbpf_cattrs attrs;
};

/* What a word is. The words of integer and floating types are added up: each has two bits, which count it. */
enum lbpf_cword {
	LBPF_WORD_NONE,
	LBPF_WORD_QUALIFIER,
	LBPF_WORD_STORAGE,
	LBPF_WORD_TAG,
	LBPF_WORD_ATTRIBUTE,
	LBPF_WORD_OPERATOR,
	LBPF_WORD_VOID = 1 << 4, /* from here on: words of types */
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

/* Called around everything that nests, so that a text can't exhaust the C stack. */
void lbpf_cparse_enter(struct lbpf_cparser *p);
void lbpf_cparse_leave(struct lbpf_cparser *p);

/* names.c */

/* What the token is. */
uint32_t lbpf_cname_word(const struct lbpf_cparser *p);

/* Whether the token is a name that a declaration may define. */
bool lbpf_cname_is_free(const struct lbpf_cparser *p);

/* Whether the name is a word of a type or a built-in type. */
bool lbpf_cname_is_builtin(const char *name);

/* The entry of a table for a name; 0 if there is none. */
uint32_t lbpf_cname_get(const struct lbpf_cparser *p, int table, const char *name);
void lbpf_cname_set(struct lbpf_cparser *p, int table, const char *name, uint32_t i);

/* The type that the name is an alias of, or 0. With with_builtins, also a built-in type that nothing has used yet. */
uint32_t lbpf_cname_typedef(struct lbpf_cparser *p, const char *name, bool with_builtins);

/* The type of this kind with this tag, which is created if it doesn't exist. */
uint32_t lbpf_cname_tag(struct lbpf_cparser *p, enum lbpf_ckind kind, const char *name);

/* Whether the token begins a type. */
bool lbpf_cname_starts_type(struct lbpf_cparser *p);

/* Raises an error because the token is no type; the message suggests one. */
_Noreturn void lbpf_cname_unknown_type(struct lbpf_cparser *p);

/* expr.c */

/* A constant expression. */
struct lbpf_cvalue lbpf_cexpr(struct lbpf_cparser *p);

/* tagged.c */

/* Parses a type whose first token is "struct", "union" or "enum". `defines` receives whether its members are given. */
uint32_t lbpf_ctagged(struct lbpf_cparser *p, bool *defines);

/* Defines the type if it is one of the kernel's structs. Must be called before a type is used by value. */
void lbpf_ctagged_complete(struct lbpf_cparser *p, uint32_t type);

/* Raises unless the type has a size. what names the thing declared: "member 'x'". */
void lbpf_ctagged_need(struct lbpf_cparser *p, uint32_t type, uint32_t at, const char *what);

/* attrs.c */

/* Whether the token begins attributes. */
bool lbpf_cattr_is(const struct lbpf_cparser *p);

/* Parses all attributes from here on and adds them to those in *a. */
void lbpf_cattrs(struct lbpf_cparser *p, struct lbpf_cattrs *a);

/* cdecl.c */

/* Parses specifiers; with `storage`, also those of storage. */
void lbpf_cparse_specs(struct lbpf_cparser *p, struct lbpf_cspecs *s, bool storage);

/* The type with its type tag, if it has one. For the kernel, a type tag says something about pointers to the type. */
uint32_t lbpf_cparse_tagged(struct lbpf_cparser *p, uint32_t type, const struct lbpf_cattrs *a);

/* declarator.c */

/* Parses a declarator with or without a name; the caller checks whether it needs one. */
void lbpf_cparse_declarator(struct lbpf_cparser *p, uint32_t base, struct lbpf_cdeclarator *d);

/* Parses a type without a name: "char *", "struct hit[3]". */
uint32_t lbpf_cparse_type_name(struct lbpf_cparser *p);

LBPF_HIDDEN_END

#endif
