/* SPDX-License-Identifier: MIT */
/* C types while a text of declarations is read.
 *
 * Types refer to each other by index and get their BTF ids last, in the order in which they were made: so a struct can
 * point to itself, which BTF written as one goes can't, and a bad text adds nothing. What the BTF held before may come
 * from a damaged file: its sizes, depth and loops are checked. */
#include "ctype.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

#include <lauxlib.h>

#include <bpf/btf.h>

#include "err.h"

#define CTYPE_MAX_SIZE 0x7fffffffu
#define CTYPE_MAX_MEMBERS 65535
#define CTYPE_MAX_DEPTH 32
#define CTYPE_MAX_STEPS 1000000

/* Of a member: on some machines less than of a variable. */
#define ALIGN(type) _Alignof(struct { type x; })

#define IS_SIGNED BTF_INT_SIGNED
#define CHAR_IS_SIGNED (CHAR_MIN < 0 ? BTF_INT_SIGNED : 0)

static const struct {
	const char *name;
	uint8_t size, align, encoding;
} bases[LBPF_BASES] = {
	[LBPF_BASE_CHAR] = { "char", 1, 1, CHAR_IS_SIGNED },
	[LBPF_BASE_SCHAR] = { "signed char", 1, 1, IS_SIGNED },
	[LBPF_BASE_UCHAR] = { "unsigned char", 1, 1, 0 },
	[LBPF_BASE_SHORT] = { "short", sizeof(short), ALIGN(short), IS_SIGNED },
	[LBPF_BASE_USHORT] = { "unsigned short", sizeof(short), ALIGN(short), 0 },
	[LBPF_BASE_INT] = { "int", sizeof(int), ALIGN(int), IS_SIGNED },
	[LBPF_BASE_UINT] = { "unsigned int", sizeof(int), ALIGN(int), 0 },
	[LBPF_BASE_LONG] = { "long", sizeof(long), ALIGN(long), IS_SIGNED },
	[LBPF_BASE_ULONG] = { "unsigned long", sizeof(long), ALIGN(long), 0 },
	[LBPF_BASE_LLONG] = { "long long", sizeof(long long), ALIGN(long long), IS_SIGNED },
	[LBPF_BASE_ULLONG] = { "unsigned long long", sizeof(long long), ALIGN(long long), 0 },
	[LBPF_BASE_INT128] = { "__int128", 16, 16, IS_SIGNED },
	[LBPF_BASE_UINT128] = { "unsigned __int128", 16, 16, 0 },
	[LBPF_BASE_BOOLEAN] = { "_Bool", sizeof(_Bool), ALIGN(_Bool), BTF_INT_BOOL },
	[LBPF_BASE_FLOAT] = { "float", sizeof(float), ALIGN(float), 0 },
	[LBPF_BASE_DOUBLE] = { "double", sizeof(double), ALIGN(double), 0 },
	[LBPF_BASE_LDOUBLE] = { "long double", sizeof(long double), ALIGN(long double), 0 },
	[LBPF_BASE_INDEX] = { "__ARRAY_SIZE_TYPE__", sizeof(int), ALIGN(int), 0 },
};

/* ---- the table ---- */

void lbpf_ctypes_begin(struct lbpf_ctypes *t, struct lbpf_lex *lex, struct btf *btf)
{
	lua_State *L = lex->L;

	*t = (struct lbpf_ctypes){ .L = L, .btf = btf, .lex = lex, .type_room = 32, .member_room = 32 };
	t->names_idx = lua_gettop(L) + 1;
	t->type_idx = t->names_idx + 1;
	t->member_idx = t->names_idx + 2;
	lua_newtable(L);
	t->type = lua_newuserdatauv(L, t->type_room * sizeof(*t->type), 0);
	t->member = lua_newuserdatauv(L, t->member_room * sizeof(*t->member), 0);
	t->type[0] = (struct lbpf_ctype){ .kind = LBPF_C_VOID };
	t->types = t->members = 1;
}

const char *lbpf_ctypes_name(struct lbpf_ctypes *t)
{
	const char *name = lbpf_lex_push(t->lex);

	lua_pushboolean(t->L, 1);
	lua_rawset(t->L, t->names_idx);
	return name;
}

static void *grow(struct lbpf_ctypes *t, int idx, const void *old, uint32_t *room, size_t size)
{
	void *more = lua_newuserdatauv(t->L, 2 * *room * size, 0);

	memcpy(more, old, *room * size);
	lua_replace(t->L, idx);
	*room *= 2;
	return more;
}

uint32_t lbpf_ctype_new(struct lbpf_ctypes *t, enum lbpf_ckind kind, uint32_t ref, const char *name)
{
	if (t->types == t->type_room)
		t->type = grow(t, t->type_idx, t->type, &t->type_room, sizeof(*t->type));
	t->type[t->types] = (struct lbpf_ctype){ .kind = kind, .ref = ref, .name = name };
	return t->types++;
}

uint32_t lbpf_ctype_add(struct lbpf_ctypes *t, uint32_t owner, const struct lbpf_cmember *m)
{
	uint32_t i = t->members;

	if (t->type[owner].count == CTYPE_MAX_MEMBERS)
		lbpf_lex_error(t->lex, m->at, "more than %d members", CTYPE_MAX_MEMBERS);
	if (i == t->member_room)
		t->member = grow(t, t->member_idx, t->member, &t->member_room, sizeof(*t->member));
	t->member[i] = *m;
	t->member[i].next = 0;
	if (t->type[owner].first)
		t->member[t->type[owner].last].next = i;
	else
		t->type[owner].first = i;
	t->type[owner].last = i;
	t->type[owner].count++;
	return t->members++;
}

uint32_t lbpf_ctype_strip(const struct lbpf_ctypes *t, uint32_t i)
{
	while (t->type[i].kind == LBPF_C_TYPEDEF || t->type[i].kind == LBPF_C_TAGGED)
		i = t->type[i].ref;
	return i;
}

uint32_t lbpf_ctype_size(const struct lbpf_ctypes *t, uint32_t i)
{
	return t->type[lbpf_ctype_strip(t, i)].size;
}

uint32_t lbpf_ctype_align(const struct lbpf_ctypes *t, uint32_t i)
{
	while ((t->type[i].kind == LBPF_C_TYPEDEF || t->type[i].kind == LBPF_C_TAGGED) && !t->type[i].align)
		i = t->type[i].ref;
	return t->type[i].align;
}

static const char *tag_kind(enum lbpf_ckind kind)
{
	return kind == LBPF_C_UNION ? "union" : kind == LBPF_C_ENUM ? "enum" : "struct";
}

void lbpf_ctype_need(const struct lbpf_ctypes *t, uint32_t i, uint32_t at, const char *what)
{
	const struct lbpf_ctype *type = &t->type[lbpf_ctype_strip(t, i)];

	switch (type->kind) {
	case LBPF_C_VOID:
		lbpf_lex_error(t->lex, at, "%s has type void", what);
	case LBPF_C_FUNC:
		lbpf_lex_error(t->lex, at, "%s is a function, which has no size; a pointer to one has", what);
	case LBPF_C_STRUCT:
	case LBPF_C_UNION:
	case LBPF_C_ENUM:
		if (type->open)
			lbpf_lex_error(t->lex, at, "%s %s can't contain itself", tag_kind(type->kind),
				       type->name ? type->name : "{…}");
		if (!type->complete)
			lbpf_lex_error(t->lex, at, "%s %s is not defined here", tag_kind(type->kind), type->name);
		break;
	default:
		break;
	}
}

uint32_t lbpf_ctype_ptr(struct lbpf_ctypes *t, uint32_t ref)
{
	uint32_t i = lbpf_ctype_new(t, LBPF_C_PTR, ref, NULL);

	t->type[i].size = sizeof(void *);
	t->type[i].align = ALIGN(void *);
	return i;
}

uint32_t lbpf_ctype_array(struct lbpf_ctypes *t, uint32_t elem, uint32_t count, uint32_t at)
{
	uint32_t size, align, i;

	if (lbpf_ctype_strip(t, elem) == 0)
		lbpf_lex_error(t->lex, at, "an array of void");
	lbpf_ctype_need(t, elem, at, "the array's element");
	i = lbpf_ctype_strip(t, elem);
	if (t->type[i].kind == LBPF_C_ARRAY && t->type[i].flexible)
		lbpf_lex_error(t->lex, at, "only an array's first dimension can be left open");
	size = lbpf_ctype_size(t, elem);
	align = lbpf_ctype_align(t, elem);
	if (align && size % align)
		lbpf_lex_error(t->lex, at, "elements of %d bytes can't be aligned to %d", (int)size, (int)align);
	if (size && count > CTYPE_MAX_SIZE / size)
		lbpf_lex_error(t->lex, at, "the array is larger than 2 GiB");
	lbpf_ctype_base(t, LBPF_BASE_INDEX);
	i = lbpf_ctype_new(t, LBPF_C_ARRAY, elem, NULL);
	t->type[i].size = size * count;
	t->type[i].align = align;
	t->type[i].count = count;
	return i;
}
