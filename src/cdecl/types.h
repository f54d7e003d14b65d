/* SPDX-License-Identifier: MIT */
/* C types while a text of declarations is parsed: the table of types, what the BTF already has, and writing the types
 * to BTF. */
#ifndef LBPF_CDECL_TYPES_H
#define LBPF_CDECL_TYPES_H

#include <stdbool.h>
#include <stdint.h>

#include <lua.h>

#include "base/compat.h"
#include "cdecl/lex.h"

struct btf;

#define LBPF_CTYPE_MAX_SIZE 0x7fffffffu

enum lbpf_ckind {
	LBPF_C_VOID,
	LBPF_C_INT,
	LBPF_C_FLOAT,
	LBPF_C_PTR,
	LBPF_C_ARRAY,
	LBPF_C_STRUCT,
	LBPF_C_UNION,
	LBPF_C_ENUM,
	LBPF_C_FUNC,
	LBPF_C_TYPEDEF,
	LBPF_C_TAGGED, /* a type with an __attribute__((btf_type_tag("…"))) */
};

/* A type. Types and members are referred to by index. Type 0 is void; there is no member 0. */
struct lbpf_ctype {
	enum lbpf_ckind kind;
	uint32_t id;	      /* in the BTF; 0 until written */
	uint32_t ref;	      /* the type that it points to, returns, or is an alias or an array of */
	uint32_t size;	      /* in bytes; 0 for aliases */
	uint32_t align;	      /* in bytes; for an alias: the one that its aligned() says, or 0 */
	uint32_t count;	      /* elements, members, parameters, enumerators */
	uint32_t first, last; /* members; 0 if none */
	uint32_t at;	      /* functions: where in the text their parameters are */
	const char *name;     /* NULL if it has none */
	uint8_t encoding;     /* of integers: BTF_INT_… */
	uint8_t aliases;      /* how many aliases are between it and the type that is meant */
	bool is_signed;	      /* enum: some enumerator is negative */
	bool cut;	      /* enum: its BTF has only the lower halves of its enumerators */
	bool complete;	      /* struct, union, enum: defined */
	bool open;	      /* struct, union, enum: its braces are not closed yet */
	bool declared;	      /* struct, union, enum: by "struct tag;" */
	bool flexible;	      /* array without a length */
	bool imported;	      /* was in the BTF before; its members are read when they are needed */
	bool dropped;	      /* not written to the BTF: a repetition of an earlier type */
};

/* A member, a parameter, or an enumerator. */
struct lbpf_cmember {
	const char *name; /* NULL if it has none */
	uint32_t type;
	uint32_t next;	/* 0 at the end */
	uint32_t at;	/* position in the text */
	uint32_t bit;	/* from the start of the struct */
	uint32_t align; /* what aligned() on the member itself says, or 0 */
	uint8_t bits;	/* width, if it is a bit-field */
	bool is_bitfield;
	bool packed;
	bool negative;	/* enumerator: value is to be read as signed */
	uint64_t value; /* enumerator */
};

enum lbpf_cbase {
	LBPF_BASE_CHAR,
	LBPF_BASE_SCHAR,
	LBPF_BASE_UCHAR,
	LBPF_BASE_SHORT,
	LBPF_BASE_USHORT,
	LBPF_BASE_INT,
	LBPF_BASE_UINT,
	LBPF_BASE_LONG,
	LBPF_BASE_ULONG,
	LBPF_BASE_LLONG,
	LBPF_BASE_ULLONG,
	LBPF_BASE_INT128,
	LBPF_BASE_UINT128,
	LBPF_BASE_BOOLEAN,
	LBPF_BASE_FLOAT,
	LBPF_BASE_DOUBLE,
	LBPF_BASE_LDOUBLE,
	LBPF_BASE_INDEX, /* the type of array indices, which BTF requires */
	LBPF_BASES
};

/* The state. Both arrays are userdata on the Lua stack, at these indices; `names` is a table that keeps names alive. */
struct lbpf_ctypes {
	lua_State *L;
	struct btf *btf;
	struct lbpf_lex *lex; /* for errors */
	struct lbpf_ctype *type;
	struct lbpf_cmember *member;
	uint32_t types, type_room, members, member_room;
	int type_idx, member_idx, names_idx, names;
	uint32_t base[LBPF_BASES]; /* 0 until used */
	uint32_t steps;		   /* work caused by BTF that was made elsewhere, which is limited */
};

LBPF_HIDDEN_BEGIN

/* types.c */

/* Leaves three values on the Lua stack. */
void lbpf_ctypes_begin(struct lbpf_ctypes *t, struct lbpf_lex *lex, struct btf *btf);

/* A NUL-terminated copy of the token, alive for as long as the types. */
const char *lbpf_ctypes_name(struct lbpf_ctypes *t);

uint32_t lbpf_ctype_new(struct lbpf_ctypes *t, enum lbpf_ckind kind, uint32_t ref, const char *name);
uint32_t lbpf_ctype_base(struct lbpf_ctypes *t, enum lbpf_cbase base);
uint32_t lbpf_ctype_ptr(struct lbpf_ctypes *t, uint32_t ref);
uint32_t lbpf_ctype_array(struct lbpf_ctypes *t, uint32_t elem, uint32_t count, uint32_t at);

/* Adds a member and returns its index. Pointers to members and types are valid until the next is added. */
uint32_t lbpf_ctype_add(struct lbpf_ctypes *t, uint32_t owner, const struct lbpf_cmember *m);

/* The type that a type is an alias of, if any, or the type itself. */
uint32_t lbpf_ctype_strip(const struct lbpf_ctypes *t, uint32_t i);
uint32_t lbpf_ctype_align(const struct lbpf_ctypes *t, uint32_t i);

/* "struct", "union" or "enum". */
const char *lbpf_ctype_keyword(enum lbpf_ckind kind);

/* Raises unless values of the type have a size. `what` names the thing that is declared: "member 'x'". */
void lbpf_ctype_need(const struct lbpf_ctypes *t, uint32_t i, uint32_t at, const char *what);

/* The size of a type that has one. */
uint32_t lbpf_ctype_size(const struct lbpf_ctypes *t, uint32_t i);

/* The natural alignment of scalars of a size. */
uint32_t lbpf_ctype_scalar_align(uint32_t size, bool is_float);

bool lbpf_ctype_is_bool(const struct lbpf_ctype *type);
bool lbpf_ctype_is_signed(const struct lbpf_ctype *type);

/* An enumerator as a constant: an int if it fits. */
struct lbpf_cvalue lbpf_cmember_value(const struct lbpf_cmember *m);

/* Whether two types have the same layout; names of aliases don't count. */
bool lbpf_ctype_equal(struct lbpf_ctypes *t, uint32_t a, uint32_t b);

/* Whether two structs, unions or enums have the same members. */
bool lbpf_ctype_same_members(struct lbpf_ctypes *t, uint32_t a, uint32_t b);

/* layout.c */

/* Computes the places of the members of a struct or union. `align` is the alignment that was asked for, or 0. */
void lbpf_clayout_struct(struct lbpf_ctypes *t, uint32_t i, bool packed, uint32_t align);

/* Chooses the integer type of an enum, of size `wanted` if that isn't 0. Returns false if no such type holds all
 * enumerators. */
bool lbpf_clayout_enum(struct lbpf_ctypes *t, uint32_t i, bool packed, uint32_t wanted);

/* cbtf.c */

/* The type of an array's elements. */
uint32_t lbpf_cbtf_element(struct lbpf_ctypes *t, uint32_t i);

/* The first member of a struct, or enumerator of an enum; read from the BTF if necessary. */
uint32_t lbpf_cbtf_members(struct lbpf_ctypes *t, uint32_t i);

/* The type of this kind and name in the BTF, or 0. */
uint32_t lbpf_cbtf_find(struct lbpf_ctypes *t, enum lbpf_ckind kind, const char *name);

/* The id of a base type that the BTF has, or 0. */
uint32_t lbpf_cbtf_find_scalar(struct lbpf_ctypes *t, const struct lbpf_ctype *type);

/* The value of an enumerator in the BTF. */
bool lbpf_cbtf_find_enumerator(struct lbpf_ctypes *t, const char *name, struct lbpf_cvalue *value);

/* Counts work that the BTF causes, and raises if there is too much: the BTF may be damaged and refer to itself without
 * end. */
void lbpf_cbtf_step(struct lbpf_ctypes *t, uint32_t id);

/* Writes all types to the BTF, and stores their ids. */
void lbpf_cbtf_write(struct lbpf_ctypes *t);

LBPF_HIDDEN_END

#endif
