/* SPDX-License-Identifier: MIT */
/* The plan of a C type, as the codec uses it: flat, and compiled once.
 *
 * The plan is an array of nodes in preorder. Node 0 is the value itself; a struct or union is followed by its
 * members (anonymous ones flattened into it), an array by its one element. `next` jumps over a subtree. */
#ifndef LBPF_VALUE_PLAN_H
#define LBPF_VALUE_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/class.h"
#include "base/compat.h"

LBPF_HIDDEN_BEGIN

enum lbpf_kind {
	LBPF_U8, /* integers of one memory access each */
	LBPF_U16,
	LBPF_U32,
	LBPF_U64,
	LBPF_S8,
	LBPF_S16,
	LBPF_S32,
	LBPF_S64,
	LBPF_BOOL,
	LBPF_F32,
	LBPF_F64,
	LBPF_UBITS, /* bit-fields */
	LBPF_SBITS,
	LBPF_BBITS,
	LBPF_CHARS,  /* char[N]: text up to the first NUL */
	LBPF_BYTES,  /* unsigned char[N]: all N bytes */
	LBPF_RAW,    /* bytes of a type we don't know, or of 128 bits */
	LBPF_ARRAY,  /* of the one node that follows */
	LBPF_STRUCT, /* or union */
};

#define LBPF_LAST_INTEGER LBPF_S64

struct lbpf_node {
	uint8_t kind;
	bool overlaps;	   /* a union's member, at any depth: may share bytes with its siblings */
	bool flexible;	   /* array without a length at the type's end: as long as the record that holds it */
	bool beyond;	   /* of these one in a union, which holds only what lies beyond the type */
	uint8_t bit;	   /* bit-field: its first bit, counted from offset as BTF counts */
	uint8_t bits;	   /* bit-field: its width */
	uint32_t offset;   /* bytes from the start of the struct around it; 0 for elements */
	uint32_t size;	   /* bytes; of a bit-field, those it touches */
	uint32_t count;	   /* elements of an array, members of a struct */
	uint32_t next;	   /* the node after this one and all below it */
	int32_t name;	   /* of a member, as an index into the type's names; else 0 */
	int32_t enums;	   /* index into names of the table { enumerator = value }; 0 if it has none */
	const char *label; /* the member's name; the very address of Lua's interned string */
	const char *ctype; /* what C calls its type, for messages */
};

/* Bits of a byte that no member of a struct carries. */
struct lbpf_gap {
	uint32_t offset;
	uint8_t bits;
};

struct lbpf_type {
	struct lbpf_head head;
	int names;  /* registry reference of the sequence of names; LUA_NOREF once collected */
	bool owned; /* some members belong to the kernel (locks, timers, …) and are left out */
	uint32_t size;
	uint32_t count;
	bool floats;		     /* some node is one */
	uint32_t gap_count;	     /* these two are key.c's, of types that keys have had */
	const struct lbpf_gap *gaps; /* in the sequence of names, at index 0; NULL before the first key */
	uint32_t depth;		     /* tables within tables that a value becomes: 0 for what is no table */
	struct lbpf_node node[];
};

/* The class that owns a plan; type.c has its methods. */
extern const struct lbpf_class lbpf_type_class;

static inline bool lbpf_type_is_integer(const struct lbpf_type *type)
{
	return type->node[0].kind <= LBPF_LAST_INTEGER;
}

/* Collects nodes; everything it holds is on the Lua stack from `base` on. */
struct lbpf_builder {
	lua_State *L;
	int base; /* stack: the nodes' memory, the names */
	struct lbpf_node *node;
	uint32_t count, room;
	lua_Integer names;
	bool owned; /* becomes the type's */
};

void lbpf_build_begin(lua_State *L, struct lbpf_builder *b);

/* Adds a node and returns its index; `node` moves, so go through the index afterwards. */
uint32_t lbpf_build_node(struct lbpf_builder *b, enum lbpf_kind kind, uint32_t offset, uint32_t size);

/* Closes a subtree: sets next of the node at index i. */
void lbpf_build_close(struct lbpf_builder *b, uint32_t i);

/* Pops the value at the top into the names and returns its index. */
int32_t lbpf_build_name(struct lbpf_builder *b);

/* Pops the string at the top and makes it the label, or the C name, of node i. */
void lbpf_build_label(struct lbpf_builder *b, uint32_t i);
void lbpf_build_ctype(struct lbpf_builder *b, uint32_t i);

/* Replaces everything from base on by the finished type. */
struct lbpf_type *lbpf_build_end(struct lbpf_builder *b);

/* Makes the flexible array at the end of a type that nobody uses yet one of as many elements as fit into size bytes. */
void lbpf_type_extend(struct lbpf_type *type, uint32_t size);

/* Pushes the sequence of the type's names; raises once the type has been collected. */
void lbpf_type_push_names(lua_State *L, const struct lbpf_type *type);

/* Pushes a type of size bytes about which nothing else is known. */
struct lbpf_type *lbpf_type_push_raw(lua_State *L, uint32_t size);

/* The same where more is known, but not to this process; messages say so. */
struct lbpf_type *lbpf_type_push_untyped(lua_State *L, uint32_t size);

/* Pushes the type of an array's index, which needs no BTF to be known. */
struct lbpf_type *lbpf_type_push_index(lua_State *L);

LBPF_HIDDEN_END

#endif
