/* SPDX-License-Identifier: MIT */
/* The C name of a type: a declarator without a name, built from the inside out. */
#include "btf/cname.h"

#include <stdbool.h>
#include <stdio.h>

#include "btf/btf.h"

#define TEXT_MAX 2000 /* how many types the text of one declarator may mention */

struct text {
	lua_State *L;
	const struct btf *btf;
	int left; /* how many types may still be mentioned */
};

static void push_text(struct text *t, uint32_t id);

/* Replaces the declarator at the top by `before`, the declarator and `after`. */
static void around(lua_State *L, const char *before, const char *after)
{
	lua_pushfstring(L, "%s%s%s", before, lua_tostring(L, -1), after);
	lua_remove(L, -2);
}

/* Pushes a list of parameters: "int, struct sock *". */
static void push_params(struct text *t, const struct btf_type *proto)
{
	const struct btf_param *param = btf_params(proto);
	uint16_t n = btf_vlen(proto);
	luaL_Buffer b;

	luaL_checkstack(t->L, 12, NULL);
	luaL_buffinit(t->L, &b);
	for (uint16_t i = 0; i < n; i++) {
		if (i)
			luaL_addstring(&b, ", ");
		if (t->left <= 0) {
			luaL_addstring(&b, "…");
			break;
		}
		if (!param[i].type && !param[i].name_off && i == n - 1)
			lua_pushliteral(t->L, "...");
		else
			push_text(t, param[i].type);
		luaL_addvalue(&b);
	}
	if (!n)
		luaL_addstring(&b, "void");
	luaL_pushresult(&b);
}

static const char *tag_of(const struct btf_type *type)
{
	switch (btf_kind(type)) {
	case BTF_KIND_STRUCT:
		return "struct ";
	case BTF_KIND_UNION:
		return "union ";
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		return "enum ";
	case BTF_KIND_FWD:
		return btf_kflag(type) ? "union " : "struct ";
	default:
		return "";
	}
}

struct qualifiers {
	bool is_const, is_volatile, is_restrict;
};

/* Whether a type is a qualifier, which is then recorded. */
static bool qualifies(const struct btf_type *type, struct qualifiers *q)
{
	switch (btf_kind(type)) {
	case BTF_KIND_CONST:
		return q->is_const = true;
	case BTF_KIND_VOLATILE:
		return q->is_volatile = true;
	case BTF_KIND_RESTRICT:
		return q->is_restrict = true;
	case BTF_KIND_TYPE_TAG:
	case BTF_KIND_VAR:
		return true;
	default:
		return false;
	}
}

/* Applies a pointer, an array or a function to the declarator at the top. Returns false for other types. */
static bool apply(struct text *t, const struct btf_type *type, struct qualifiers *q, bool *pointer)
{
	char length[32];

	if (btf_is_ptr(type)) {
		around(t->L, q->is_const ? " const" : "", "");
		around(t->L, q->is_volatile ? " volatile" : "", "");
		around(t->L, q->is_restrict ? "*restrict" : "*", "");
		*q = (struct qualifiers){ false, false, false };
		*pointer = true;
		return true;
	}
	if (!btf_is_array(type) && !btf_is_func_proto(type))
		return false;
	if (*pointer)
		around(t->L, "(", ")");
	*pointer = false;
	if (btf_is_array(type)) {
		snprintf(length, sizeof(length), "[%u]", btf_array(type)->nelems);
		around(t->L, "", length);
		return true;
	}
	push_params(t, type);
	lua_pushfstring(t->L, "%s(%s)", lua_tostring(t->L, -2), lua_tostring(t->L, -1));
	lua_replace(t->L, -3);
	lua_pop(t->L, 1);
	return true;
}

/* Pushes what C calls a type: "const char *", "struct hit[3]", "int (*)(struct sock *, int)". */
static void push_text(struct text *t, uint32_t id)
{
	struct qualifiers q = { false, false, false };
	const struct btf_type *type;
	const char *name, *rest;
	bool pointer = false;

	luaL_checkstack(t->L, 8, NULL);
	lua_pushliteral(t->L, "");
	for (;; id = btf_is_array(type) ? btf_array(type)->type : type->type) {
		type = lbpf_btf_type_at(t->L, t->btf, id);
		if (t->left-- <= 0)
			break;
		if (!qualifies(type, &q) && !apply(t, type, &q, &pointer))
			break;
	}
	name = id ? lbpf_btf_name_at(t->btf, type->name_off) : "void";
	if (t->left < 0)
		name = "…";
	else if (!*name)
		name = *tag_of(type) ? "{…}" : "…";
	rest = lua_tostring(t->L, -1);
	lua_pushfstring(t->L, "%s%s%s%s%s%s", q.is_const ? "const " : "", q.is_volatile ? "volatile " : "",
			t->left < 0 ? "" : tag_of(type), name, *rest && *rest != '[' ? " " : "", rest);
	lua_remove(t->L, -2);
}

void lbpf_btf_push_cname(lua_State *L, const struct btf *btf, uint32_t id)
{
	struct text t = { L, btf, TEXT_MAX };

	push_text(&t, id);
}
