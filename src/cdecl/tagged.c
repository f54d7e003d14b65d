/* SPDX-License-Identifier: MIT */
/* Structs, unions and enums in C declarations. */
#include "cdecl/parse.h"

#include <string.h>

/* ---- structs and unions ---- */

/* Pushes the name of a member in messages. */
static const char *describe(struct lbpf_cparser *p, const struct lbpf_cmember *m)
{
	const char *kind = m->is_bitfield ? "bit-field" : "member";

	return m->name ? lua_pushfstring(p->L, "%s '%s'", kind, m->name) : lua_pushfstring(p->L, "this %s", kind);
}

static void merge_attrs(struct lbpf_cattrs *a, const struct lbpf_cattrs *more)
{
	a->strictest = more->strictest > a->strictest ? more->strictest : a->strictest;
	a->aligned_as = more->aligned_as > a->aligned_as ? more->aligned_as : a->aligned_as;
	a->packed |= more->packed;
}

/* Parses the width of a bit-field, which is the token. */
static void parse_width(struct lbpf_cparser *p, struct lbpf_cmember *m)
{
	uint32_t at = p->lex.tok.at;
	struct lbpf_cvalue width = lbpf_cexpr(p);
	const struct lbpf_ctype *type = &p->t.type[lbpf_ctype_strip(&p->t, m->type)];
	uint64_t room = lbpf_ctype_is_bool(type) ? 1 : 8 * (uint64_t)type->size;

	if (type->kind != LBPF_C_INT && type->kind != LBPF_C_ENUM)
		lbpf_lex_error(&p->lex, m->at, "%s has no integer type", describe(p, m));
	lbpf_ctagged_need(p, m->type, m->at, describe(p, m));
	if (!width.is_unsigned && (int64_t)width.v < 0)
		lbpf_lex_error(&p->lex, at, "%s has a negative width", describe(p, m));
	if (width.v > room)
		lbpf_lex_error(&p->lex, at, "%s is wider than its type, which has %d bit%s", describe(p, m), (int)room,
			       room == 1 ? "" : "s");
	if (width.v == 0 && m->name)
		lbpf_lex_error(&p->lex, at, "%s has a name, so it can't have the width 0", describe(p, m));
	m->bits = (uint8_t)width.v;
}

/* Parses the width and the attributes after a member's declarator. */
static void parse_member_rest(struct lbpf_cparser *p, struct lbpf_cmember *m, struct lbpf_cattrs *a)
{
	if (lbpf_lex_accept(&p->lex, ":")) {
		struct lbpf_cattrs after = { 0 };

		m->is_bitfield = true;
		parse_width(p, m);
		lbpf_cattrs(p, &after);
		merge_attrs(a, &after);
	}
	lbpf_ctagged_need(p, m->type, m->at, describe(p, m));
	m->align = a->strictest;
	m->packed = a->packed;
	if (a->aligned_as && m->is_bitfield)
		lbpf_lex_error(&p->lex, m->at, "_Alignas is not for bit-fields");
	if (a->aligned_as && a->aligned_as < lbpf_ctype_align(&p->t, m->type))
		lbpf_lex_error(&p->lex, m->at, "%s can't be aligned less than its type", describe(p, m));
	if (lbpf_lex_is(&p->lex, "="))
		lbpf_lex_error(&p->lex, p->lex.tok.at, "initialisers are not allowed");
	if (!lbpf_lex_is(&p->lex, ";") && !lbpf_lex_is(&p->lex, ","))
		lbpf_lex_error(&p->lex, p->lex.tok.at, "expected ';' or ',' after %s, got %s", describe(p, m),
			       lbpf_lex_quote(&p->lex));
}

static void parse_member_declarators(struct lbpf_cparser *p, uint32_t owner, const struct lbpf_cspecs *s)
{
	int top = lua_gettop(p->L);

	do {
		struct lbpf_cmember m = { .at = p->lex.tok.at, .type = s->type };
		struct lbpf_cattrs a = s->attrs;

		if (!lbpf_lex_is(&p->lex, ":")) {
			struct lbpf_cdeclarator d;

			lbpf_cparse_declarator(p, s->type, &d);
			if (!d.name)
				lbpf_lex_error(&p->lex, p->lex.tok.at, "expected a member's name, got %s",
					       lbpf_lex_quote(&p->lex));
			m.name = d.name;
			m.at = d.at;
			m.type = d.type;
			merge_attrs(&a, &d.attrs);
		}
		parse_member_rest(p, &m, &a);
		lbpf_ctype_add(&p->t, owner, &m);
		lua_settop(p->L, top);
	} while (lbpf_lex_accept(&p->lex, ","));
	lbpf_lex_next(&p->lex);
}

/* Whether specifiers without a declarator are an anonymous member. Compilers accept "struct tag;" and the name of a
 * typedef as a member only with -fms-extensions; otherwise these would be mistakes. A type with a tag that is defined
 * here declares only the type. */
static bool is_anonymous(struct lbpf_cparser *p, const struct lbpf_cspecs *s)
{
	const struct lbpf_ctype *type = &p->t.type[lbpf_ctype_strip(&p->t, s->type)];

	if (type->kind == LBPF_C_STRUCT || type->kind == LBPF_C_UNION)
		return !type->name || !s->defines;
	if (!s->is_tagged)
		lbpf_lex_error(&p->lex, p->lex.tok.at, "expected a member's name, got ';'");
	return false;
}

static void parse_member(struct lbpf_cparser *p, uint32_t owner)
{
	struct lbpf_cspecs s;

	if (lbpf_lex_accept(&p->lex, ";"))
		return;
	lbpf_cparse_specs(p, &s, false);
	if (!lbpf_lex_is(&p->lex, ";")) {
		parse_member_declarators(p, owner, &s);
		return;
	}
	if (is_anonymous(p, &s)) {
		/* Of the attributes before an anonymous struct, gcc applies only _Alignas. */
		struct lbpf_cmember m = { .at = s.at, .type = s.type, .align = s.attrs.aligned_as };

		lbpf_ctagged_need(p, s.type, s.at, "this member");
		lbpf_ctype_add(&p->t, owner, &m);
	}
	lbpf_lex_next(&p->lex);
}

/* Members of anonymous structs are members of the struct around them. The table at the top has the names so far. */
static void check_members(struct lbpf_cparser *p, uint32_t owner)
{
	for (uint32_t i = lbpf_cbtf_members(&p->t, owner); i; i = p->t.member[i].next) {
		const struct lbpf_cmember *m = &p->t.member[i];
		const struct lbpf_ctype *type = &p->t.type[lbpf_ctype_strip(&p->t, m->type)];

		if (type->kind == LBPF_C_ARRAY && type->flexible && m->next && p->t.type[owner].kind == LBPF_C_STRUCT)
			lbpf_lex_error(&p->lex, m->at, "'%s', an array without a length, is not the last member",
				       m->name);
		if (!m->name) {
			if (!m->is_bitfield)
				check_members(p, lbpf_ctype_strip(&p->t, m->type));
			continue;
		}
		if (lua_getfield(p->L, -1, m->name) != LUA_TNIL)
			lbpf_lex_error(&p->lex, m->at, "duplicate member '%s'", m->name);
		lua_pop(p->L, 1);
		lua_pushboolean(p->L, 1);
		lua_setfield(p->L, -2, m->name);
	}
}

static void parse_struct_body(struct lbpf_cparser *p, uint32_t i, struct lbpf_cattrs *a)
{
	lbpf_cparse_enter(p);
	lbpf_lex_expect(&p->lex, "{", "");
	while (!lbpf_lex_accept(&p->lex, "}")) {
		if (p->lex.tok.kind == LBPF_TOKEN_END)
			lbpf_lex_expect(&p->lex, "}", "after the members");
		parse_member(p, i);
	}
	lbpf_cparse_leave(p);
	lua_newtable(p->L);
	check_members(p, i);
	lua_pop(p->L, 1);
	lbpf_cattrs(p, a);
	lbpf_clayout_struct(&p->t, i, a->packed, a->last);
}

/* ---- enums ---- */

/* m is the enumerator before, and becomes the next one. */
static void parse_enumerator_value(struct lbpf_cparser *p, struct lbpf_cmember *m)
{
	if (lbpf_lex_accept(&p->lex, "=")) {
		struct lbpf_cvalue value = lbpf_cexpr(p);

		m->value = value.v;
		m->negative = !value.is_unsigned && (int64_t)value.v < 0;
	} else if (m->name) {
		if (m->value == UINT64_MAX && !m->negative)
			lbpf_lex_error(&p->lex, p->lex.tok.at, "the enumerator's value doesn't fit 64 bits");
		m->value++;
		m->negative = (int64_t)m->value < 0 && m->negative;
	}
}

static void parse_enumerator(struct lbpf_cparser *p, uint32_t owner, struct lbpf_cmember *m)
{
	struct lbpf_cattrs ignored = { 0 };
	const char *name;
	uint32_t old;

	m->at = p->lex.tok.at;
	if (!lbpf_cname_is_free(p))
		lbpf_lex_error(&p->lex, m->at, "expected an enumerator's name, got %s", lbpf_lex_quote(&p->lex));
	name = lbpf_ctypes_name(&p->t);
	if (lbpf_cname_get(p, p->typedefs, name))
		lbpf_lex_error(&p->lex, m->at, "'%s' is the name of a type", name);
	old = lbpf_cname_get(p, p->consts, name);
	lbpf_lex_next(&p->lex);
	lbpf_cattrs(p, &ignored);
	parse_enumerator_value(p, m);
	m->name = name;
	if (old && p->t.type[owner].first && old >= p->t.type[owner].first)
		lbpf_lex_error(&p->lex, m->at, "duplicate enumerator '%s'", name);
	if (old && (p->t.member[old].value != m->value || p->t.member[old].negative != m->negative))
		lbpf_lex_error(&p->lex, m->at, "enumerator '%s' has another value already", name);
	lbpf_cname_set(p, p->consts, name, lbpf_ctype_add(&p->t, owner, m));
}

static void parse_enum_body(struct lbpf_cparser *p, uint32_t i, struct lbpf_cattrs *a)
{
	struct lbpf_cmember m = { 0 };

	lbpf_lex_expect(&p->lex, "{", "");
	do
		parse_enumerator(p, i, &m);
	while (lbpf_lex_accept(&p->lex, ",") && !lbpf_lex_is(&p->lex, "}"));
	if (!lbpf_lex_accept(&p->lex, "}"))
		lbpf_lex_error(&p->lex, p->lex.tok.at, "expected ',' or '}' after enumerator '%s', got %s", m.name,
			       lbpf_lex_quote(&p->lex));
	lbpf_cattrs(p, a);
	if (!lbpf_clayout_enum(&p->t, i, a->packed, a->mode))
		lbpf_lex_error(&p->lex, m.at, "no integer type%s holds all these enumerators",
			       a->mode ? " of this mode" : "");
}

/* ---- tags ---- */

static enum lbpf_ckind tag_kind(const struct lbpf_cparser *p)
{
	if (lbpf_lex_is(&p->lex, "union"))
		return LBPF_C_UNION;
	return lbpf_lex_is(&p->lex, "enum") ? LBPF_C_ENUM : LBPF_C_STRUCT;
}

/* Parses the members. The token is "{". Returns the type, which is `old` if that is complete already and has the same
 * members. */
static uint32_t define_tag(struct lbpf_cparser *p, enum lbpf_ckind kind, uint32_t old, uint32_t at,
			   struct lbpf_cattrs *a)
{
	const char *name = old ? p->t.type[old].name : NULL;
	uint32_t i = old;

	if (old && p->t.type[old].open)
		lbpf_lex_error(&p->lex, at, "%s %s is defined within itself", lbpf_ctype_keyword(kind), name);
	if (!old || p->t.type[old].complete)
		i = lbpf_ctype_new(&p->t, kind, 0, name);
	p->t.type[i].open = true;
	if (kind == LBPF_C_ENUM)
		parse_enum_body(p, i, a);
	else
		parse_struct_body(p, i, a);
	if (i == old || !old)
		return i;
	if (!lbpf_ctype_same_members(&p->t, old, i))
		lbpf_lex_error(&p->lex, at, "%s %s is defined already, with another layout", lbpf_ctype_keyword(kind),
			       name);
	if (p->t.type[old].imported)
		p->t.type[old].align = p->t.type[i].align;
	p->t.type[i].dropped = true;
	return old;
}

/* Parses the ": unsigned char" of an enum. If a number follows the ":", it is the width of a bit-field. */
static void parse_underlying(struct lbpf_cparser *p, struct lbpf_cattrs *a)
{
	struct lbpf_lex here = p->lex;
	uint32_t at, i;

	lbpf_lex_next(&p->lex);
	at = p->lex.tok.at;
	if (!lbpf_cname_starts_type(p)) {
		p->lex = here;
		return;
	}
	i = lbpf_ctype_strip(&p->t, lbpf_cparse_type_name(p));
	if (p->t.type[i].kind != LBPF_C_INT || p->t.type[i].size > 8)
		lbpf_lex_error(&p->lex, at, "an enum's type must be an integer of up to 64 bits");
	a->mode = (uint8_t)p->t.type[i].size;
}

/* Parses a struct, union or enum; that word is the token. */
uint32_t lbpf_ctagged(struct lbpf_cparser *p, bool *defines)
{
	enum lbpf_ckind kind = tag_kind(p);
	struct lbpf_cattrs a = { .of_enum = kind == LBPF_C_ENUM };
	uint32_t i = 0, at;

	lbpf_lex_next(&p->lex);
	lbpf_cattrs(p, &a);
	at = p->lex.tok.at;
	if (lbpf_cname_is_free(p)) {
		i = lbpf_cname_tag(p, kind, lbpf_ctypes_name(&p->t));
		lbpf_lex_next(&p->lex);
	}
	if (kind == LBPF_C_ENUM && lbpf_lex_is(&p->lex, ":"))
		parse_underlying(p, &a);
	*defines = lbpf_lex_is(&p->lex, "{");
	if (!*defines) {
		if (!i)
			lbpf_lex_error(&p->lex, p->lex.tok.at, "expected a tag or '{', got %s",
				       lbpf_lex_quote(&p->lex));
		return i;
	}
	return define_tag(p, kind, i, at, &a);
}

/* ---- structs of the kernel's ---- */

/* Structs of the kernel that declarations may use without defining them. */
static const struct {
	const char *name, *text;
} kernel_structs[] = {
	{ "bpf_spin_lock", "struct bpf_spin_lock { __u32 val; }" },
	{ "bpf_res_spin_lock", "struct bpf_res_spin_lock { __u32 val; } __attribute__((aligned(4)))" },
	{ "bpf_task_work", "struct bpf_task_work { __u64 __opaque; } __attribute__((aligned(8)))" },
	{ "bpf_timer", "struct bpf_timer { __u64 __opaque[2]; } __attribute__((aligned(8)))" },
	{ "bpf_wq", "struct bpf_wq { __u64 __opaque[2]; } __attribute__((aligned(8)))" },
	{ "bpf_list_head", "struct bpf_list_head { __u64 __opaque[2]; } __attribute__((aligned(8)))" },
	{ "bpf_list_node", "struct bpf_list_node { __u64 __opaque[3]; } __attribute__((aligned(8)))" },
	{ "bpf_rb_root", "struct bpf_rb_root { __u64 __opaque[2]; } __attribute__((aligned(8)))" },
	{ "bpf_rb_node", "struct bpf_rb_node { __u64 __opaque[4]; } __attribute__((aligned(8)))" },
	{ "bpf_refcount", "struct bpf_refcount { __u32 __opaque[1]; } __attribute__((aligned(4)))" },
	{ "bpf_dynptr", "struct bpf_dynptr { __u64 __opaque[2]; } __attribute__((aligned(8)))" },
	{ "in_addr", "struct in_addr { __be32 s_addr; }" },
	{ "in6_addr",
	  "struct in6_addr { union { __u8 u6_addr8[16]; __be16 u6_addr16[8]; __be32 u6_addr32[4]; } in6_u; }" },
};

void lbpf_ctagged_complete(struct lbpf_cparser *p, uint32_t i)
{
	const struct lbpf_ctype *type = &p->t.type[lbpf_ctype_strip(&p->t, i)];

	for (size_t k = 0;
	     type->kind == LBPF_C_STRUCT && !type->complete && !type->open && k < LBPF_COUNT(kernel_structs); k++) {
		if (strcmp(type->name, kernel_structs[k].name) == 0) {
			struct lbpf_lex here = p->lex;
			struct lbpf_cspecs s;

			lbpf_lex_begin(&p->lex, p->L, kernel_structs[k].text, strlen(kernel_structs[k].text));
			lbpf_cparse_specs(p, &s, false);
			p->lex = here;
			return;
		}
	}
}

void lbpf_ctagged_need(struct lbpf_cparser *p, uint32_t i, uint32_t at, const char *what)
{
	lbpf_ctagged_complete(p, i);
	lbpf_ctype_need(&p->t, i, at, what);
}
