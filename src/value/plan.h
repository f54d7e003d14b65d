/* SPDX-License-Identifier: MIT */
/* The plan of a C type: a flat description, compiled once, by which the codec encodes and decodes values.
 *
 * The plan is an array of nodes in preorder. Node 0 is the value itself. A struct or union is followed by its
 * members, with those of anonymous members among them; an array is followed by its element. `next` is the node after
 * a subtree. */
#ifndef LBPF_VALUE_PLAN_H
#define LBPF_VALUE_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/class.h"
#include "base/compat.h"

LBPF_HIDDEN_BEGIN

enum lbpf_kind {
	LBPF_U8, /* integers that one memory access reads */
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
	LBPF_RAW,    /* bytes of an unknown type, or of an integer of 128 bits */
	LBPF_ARRAY,  /* of elements like the node that follows */
	LBPF_STRUCT, /* or union */
};

#define LBPF_LAST_INTEGER LBPF_S64

struct lbpf_node {
	uint8_t kind;
	bool overlaps; /* inside a union, at any depth: may share bytes with its siblings */
	/* Array without a length at the end of the type: its length follows from the record's. */
	bool flexible;
	bool beyond;	 /* a flexible array in a union, which only has what lies beyond the type */
	uint8_t bit;	 /* bit-field: its first bit, counted from offset as BTF counts */
	uint8_t bits;	 /* bit-field: its width */
	uint32_t offset; /* bytes from the start of the enclosing struct; 0 for elements */
	uint32_t size;	 /* bytes; for a bit-field: those that it touches */
	uint32_t count;	 /* elements of an array, members of a struct */
	uint32_t next;	 /* the node after this one and its subtree */
	int32_t name;	 /* index of the member's name in the type's names; 0 for others */
	int32_t enums;	 /* index in the names of the table { enumerator = value }; 0 if there is none */
	/* The member's name: the address of Lua's interned string, so that names can be compared by address. */
	const char *label;
	const char *ctype; /* the C name of its type, for messages */
};

/* Bits of a byte that belong to no member of a struct: padding. */
struct lbpf_gap {
	uint32_t offset;
	uint8_t bits;
};

struct lbpf_type {
	struct lbpf_head head;
	/* Registry reference of the sequence of names; LUA_NOREF once the type has been collected. */
	int names;
	bool owned;   /* some members belong to the kernel (locks, timers, …) and are not shown */
	int64_t lock; /* the offset of a struct's bpf_spin_lock; -1 if it has none */
	uint32_t size;
	uint32_t count;
	bool floats;	    /* some node is a float */
	uint32_t gap_count; /* these two belong to key.c, for types that were used for keys */
	/* Memory kept by the sequence of names, at index 0; NULL before the first key. */
	const struct lbpf_gap *gaps;
	uint32_t depth; /* how deeply tables are nested in a decoded value: 0 if it is no table */
	struct lbpf_node node[];
};

/* The class that owns a plan; type.c has its methods. */
extern const struct lbpf_class lbpf_type_class;

static inline bool lbpf_type_is_integer(const struct lbpf_type *type)
{
	return type->node[0].kind <= LBPF_LAST_INTEGER;
}

/* Builds a plan. Everything it uses is on the Lua stack from `base` on. */
struct lbpf_builder {
	lua_State *L;
	int base; /* stack index of the nodes' memory, which the names follow */
	struct lbpf_node *node;
	uint32_t count, room;
	lua_Integer names;
	bool owned;   /* `owned` of the type */
	int64_t lock; /* `lock` of the type */
};

void lbpf_build_begin(lua_State *L, struct lbpf_builder *b);

/* Adds a node and returns its index. The array `node` may move, so use the index afterwards. */
uint32_t lbpf_build_node(struct lbpf_builder *b, enum lbpf_kind kind, uint32_t offset, uint32_t size);

/* Ends a subtree: sets `next` of the node at index i. */
void lbpf_build_close(struct lbpf_builder *b, uint32_t i);

/* Pops the value at the top, adds it to the names and returns its index. */
int32_t lbpf_build_name(struct lbpf_builder *b);

/* Pop the string at the top and make it the label, or the C name, of node i. */
void lbpf_build_label(struct lbpf_builder *b, uint32_t i);
void lbpf_build_ctype(struct lbpf_builder *b, uint32_t i);

/* Replaces all stack values from `base` on by the finished type. */
struct lbpf_type *lbpf_build_end(struct lbpf_builder *b);

/* Gives the flexible array at the end of a type a length: as many elements as fit if the type has `size` bytes. Nobody
 * may use the type yet. */
void lbpf_type_extend(struct lbpf_type *type, uint32_t size);

/* Pushes the sequence of the type's names. Raises if the type has been collected. */
void lbpf_type_push_names(lua_State *L, const struct lbpf_type *type);

/* Pushes a type of `size` bytes of which nothing else is known. */
struct lbpf_type *lbpf_type_push_raw(lua_State *L, uint32_t size);

/* Like lbpf_type_push_raw, for a type that exists, but that this process may not read; messages say so. */
struct lbpf_type *lbpf_type_push_untyped(lua_State *L, uint32_t size);

/* Pushes the type of an array's index, which is known without BTF. */
struct lbpf_type *lbpf_type_push_index(lua_State *L);

LBPF_HIDDEN_END

#endif
