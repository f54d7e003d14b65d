/* SPDX-License-Identifier: MIT */
/* Building the plan of a C type.
 *
 * The plan is part of the userdata. Its names (members, C types, tables of enumerators) are Lua values in a sequence
 * that the registry keeps. So decoding pushes a name without hashing it again. */
#include "value/plan.h"

#include <string.h>

void lbpf_build_begin(lua_State *L, struct lbpf_builder *b)
{
	luaL_checkstack(L, 16, NULL);
	*b = (struct lbpf_builder){ .L = L, .base = lua_gettop(L) + 1, .room = 8, .lock = -1 };
	b->node = lua_newuserdatauv(L, b->room * sizeof(*b->node), 0);
	lua_newtable(L);
}

uint32_t lbpf_build_node(struct lbpf_builder *b, enum lbpf_kind kind, uint32_t offset, uint32_t size)
{
	if (b->count == b->room) {
		struct lbpf_node *more = lua_newuserdatauv(b->L, 2 * b->room * sizeof(*more), 0);

		memcpy(more, b->node, b->count * sizeof(*more));
		lua_replace(b->L, b->base);
		b->node = more;
		b->room *= 2;
	}
	b->node[b->count] = (struct lbpf_node){ .kind = (uint8_t)kind, .offset = offset, .size = size };
	b->node[b->count].next = b->count + 1;
	return b->count++;
}

void lbpf_build_close(struct lbpf_builder *b, uint32_t i)
{
	b->node[i].next = b->count;
}

int32_t lbpf_build_name(struct lbpf_builder *b)
{
	lua_rawseti(b->L, b->base + 1, ++b->names);
	return (int32_t)b->names;
}

void lbpf_build_label(struct lbpf_builder *b, uint32_t i)
{
	b->node[i].label = lua_tostring(b->L, -1);
	b->node[i].name = lbpf_build_name(b);
}

void lbpf_build_ctype(struct lbpf_builder *b, uint32_t i)
{
	b->node[i].ctype = lua_tostring(b->L, -1);
	lbpf_build_name(b);
}

#define MAX_NESTING 256 /* deeper than any plan nests */

static uint32_t nesting(const struct lbpf_builder *b)
{
	/* The ends of the subtrees that contain node i. */
	uint32_t ends[MAX_NESTING], depth = 0, most = 0;

	for (uint32_t i = 0; i < b->count; i++) {
		while (depth && ends[depth - 1] <= i)
			depth--;
		if (b->node[i].next > i + 1 && depth < MAX_NESTING)
			ends[depth++] = b->node[i].next;
		if (depth > most)
			most = depth;
	}
	return most;
}

struct lbpf_type *lbpf_build_end(struct lbpf_builder *b)
{
	size_t bytes = b->count * sizeof(*b->node);
	struct lbpf_type *type = lbpf_class_new(b->L, &lbpf_type_class, sizeof(*type) + bytes, 1);

	memcpy(type->node, b->node, bytes);
	type->count = b->count;
	type->size = type->node[0].size;
	type->owned = b->owned;
	type->lock = b->lock;
	type->depth = nesting(b);
	for (uint32_t i = 0; i < b->count; i++)
		type->floats |= type->node[i].kind == LBPF_F32 || type->node[i].kind == LBPF_F64;
	lua_pushvalue(b->L, b->base + 1);
	lua_setiuservalue(b->L, -2, 1); /* labels and C names must outlive the type's finalizer */
	lua_pushvalue(b->L, b->base + 1);
	type->names = luaL_ref(b->L, LUA_REGISTRYINDEX);
	lua_replace(b->L, b->base);
	lua_settop(b->L, b->base);
	return type;
}

static struct lbpf_type *push_simple(lua_State *L, enum lbpf_kind kind, uint32_t size, const char *ctype)
{
	struct lbpf_builder b;

	lbpf_build_begin(L, &b);
	lbpf_build_node(&b, kind, 0, size);
	b.node[0].flexible = size == 0;
	lua_pushstring(L, ctype);
	lbpf_build_ctype(&b, 0);
	return lbpf_build_end(&b);
}

/* The flexible array at the end of node i, which may be the node itself; 0 if there is none. *at becomes its offset in
 * node i. */
static uint32_t flexible_end(const struct lbpf_type *type, uint32_t i, uint32_t *at)
{
	const struct lbpf_node *n = &type->node[i];
	uint32_t end = 0;

	for (uint32_t m = i + 1; n->kind == LBPF_STRUCT && m < n->next; m = type->node[m].next)
		end = m;
	if (!end)
		return 0;
	*at += type->node[end].offset;
	return type->node[end].flexible ? end : flexible_end(type, end, at);
}

void lbpf_type_extend(struct lbpf_type *type, uint32_t size)
{
	uint32_t at = 0, array = flexible_end(type, 0, &at), each, more;
	struct lbpf_node *n = &type->node[array];

	each = n->kind == LBPF_ARRAY ? n[1].size : 1;
	if (!array || at > size || !each)
		return;
	n->count = n->kind == LBPF_ARRAY ? (size - at) / each : 0;
	n->size = (size - at) / each * each;
	n->flexible = false;
	n->ctype = "the flexible array"; /* for messages, because BTF calls it "int[0]" */
	more = size > type->size ? size - type->size : 0;
	type->size += more;
	for (uint32_t i = 0; i < array; i++) /* all nodes that contain it */
		if (type->node[i].kind == LBPF_STRUCT && type->node[i].next > array)
			type->node[i].size += more;
}

struct lbpf_type *lbpf_type_push_raw(lua_State *L, uint32_t size)
{
	return push_simple(L, LBPF_RAW, size, "raw bytes");
}

struct lbpf_type *lbpf_type_push_untyped(lua_State *L, uint32_t size)
{
	return push_simple(L, LBPF_RAW, size, "raw bytes: types need CAP_SYS_ADMIN; map.typed");
}

struct lbpf_type *lbpf_type_push_index(lua_State *L)
{
	return push_simple(L, LBPF_U32, sizeof(uint32_t), "__u32");
}

void lbpf_type_push_names(lua_State *L, const struct lbpf_type *type)
{
	if (lbpf_unlikely(type->names == LUA_NOREF))
		luaL_error(L, "the type of this value has been collected");
	lua_rawgeti(L, LUA_REGISTRYINDEX, type->names);
}
