/* SPDX-License-Identifier: MIT */
/* Projections of a struct: types that consist of some of its members, at their places. A projection is a type of its
 * own, with copies of the nodes and of the sequence of names. */
#include "value/project.h"

#include <stdbool.h>
#include <string.h>

#include "base/arg.h"

/* ---- finding members ---- */

static const struct lbpf_node *member_called(const struct lbpf_type *type, const struct lbpf_node *n, const char *name,
					     size_t len)
{
	const struct lbpf_node *m = n + 1;

	for (uint32_t i = 0; n->kind == LBPF_STRUCT && i < n->count; i++, m = type->node + m->next)
		if (m->label && strlen(m->label) == len && memcmp(m->label, name, len) == 0)
			return m;
	return NULL;
}

_Noreturn static void fail_path(lua_State *L, const struct lbpf_type *type, const struct lbpf_node *n, const char *path,
				int idx)
{
	const struct lbpf_node *m = n + 1;
	luaL_Buffer b;

	luaL_checkstack(L, LUA_MINSTACK, NULL);
	if (n->kind != LBPF_STRUCT)
		luaL_argerror(L, idx, lua_pushfstring(L, "'%s': %s has no members", path, n->ctype));
	luaL_buffinit(L, &b);
	for (uint32_t i = 0; i < n->count && i < 20; i++, m = type->node + m->next)
		lbpf_list_add(&b, i == 19 ? "…" : m->label);
	luaL_pushresult(&b);
	luaL_argerror(L, idx,
		      lua_pushfstring(L, "'%s': %s has no such member (members: %s)", path, n->ctype,
				      lua_tostring(L, -1)));
}

/* The node of the member that the string at idx names. *at becomes its offset in the struct. */
static const struct lbpf_node *find_path(lua_State *L, const struct lbpf_type *type, int idx, uint32_t *at)
{
	const struct lbpf_node *n = type->node, *m;
	const char *path, *rest;

	luaL_checktype(L, idx, LUA_TSTRING);
	path = rest = lbpf_arg_string(L, idx);
	*at = 0;
	for (;;) {
		size_t part = strcspn(rest, ".");
		bool last;

		m = member_called(type, n, rest, strlen(rest)); /* a projection's members are called by their paths */
		last = m || !rest[part];
		if (!m)
			m = member_called(type, n, rest, part);
		if (!m)
			fail_path(L, type, n, path, idx);
		*at += m->offset;
		if (last)
			return m;
		n = m;
		rest += part + 1;
	}
}

/* ---- building ---- */

/* Begins a type that has all names of another one, so that copies of nodes keep the places of their names. */
static void begin(lua_State *L, struct lbpf_builder *b, const struct lbpf_type *type)
{
	lua_Integer count;

	lbpf_build_begin(L, b);
	lbpf_type_push_names(L, type);
	count = (lua_Integer)lua_rawlen(L, -1);
	for (lua_Integer i = 1; i <= count; i++) {
		lua_rawgeti(L, -1, i);
		lbpf_build_name(b);
	}
	lua_pop(L, 1);
	b->owned = type->owned;
}

/* Adds copies of a node and its subtree; the node is at so many bytes. Returns the index of the copy. */
static uint32_t add_copy(struct lbpf_builder *b, const struct lbpf_type *type, const struct lbpf_node *n, uint32_t at)
{
	uint32_t from = (uint32_t)(n - type->node), to = b->count;

	for (uint32_t i = from; i < n->next; i++) {
		uint32_t copy = lbpf_build_node(b, LBPF_U8, 0, 0);

		b->node[copy] = type->node[i];
		b->node[copy].next = type->node[i].next - from + to;
	}
	b->node[to].offset = at;
	b->node[to].overlaps = false;
	return to;
}

struct lbpf_type *lbpf_project_member(lua_State *L, const struct lbpf_type *type, int idx, uint32_t *at)
{
	const struct lbpf_node *n = find_path(L, type, idx, at);
	struct lbpf_builder b;

	if (n->flexible)
		luaL_argerror(L, idx, lua_pushfstring(L, "%s has no length", n->ctype));
	begin(L, &b, type);
	add_copy(&b, type, n, 0);
	b.node[0].name = 0;
	b.node[0].label = NULL;
	return lbpf_build_end(&b);
}

struct lbpf_type *lbpf_project_members(lua_State *L, const struct lbpf_type *type, int first)
{
	int last = lua_gettop(L);
	struct lbpf_builder b;

	begin(L, &b, type);
	lbpf_build_node(&b, LBPF_STRUCT, 0, type->size);
	b.node[0].ctype = type->node[0].ctype;
	b.node[0].count = (uint32_t)(last - first + 1);
	for (int idx = first; idx <= last; idx++) {
		uint32_t at, copy;
		const struct lbpf_node *n = find_path(L, type, idx, &at);

		copy = add_copy(&b, type, n, at);
		lua_pushvalue(L, idx);
		lbpf_build_label(&b, copy);
	}
	lbpf_build_close(&b, 0);
	return lbpf_build_end(&b);
}
