/* SPDX-License-Identifier: MIT */
/* The table of C types while a text of declarations is parsed.
 *
 * Types refer to each other by index. They get their BTF ids at the end, in the order in which they were created. So a
 * struct can contain a pointer to itself, and a bad text adds nothing to the BTF. */
#include "cdecl/types.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

#include <lauxlib.h>

#include <bpf/btf.h>

#define CTYPE_MAX_MEMBERS 65535
/* More levels than a text can nest. */
#define CTYPE_MAX_DEPTH 128

/* The alignment of a member, which is less than that of a variable on some machines. */
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

	lua_rawseti(t->L, t->names_idx, ++t->names);
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

const char *lbpf_ctype_keyword(enum lbpf_ckind kind)
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
			lbpf_lex_error(t->lex, at, "%s %s can't contain itself", lbpf_ctype_keyword(type->kind),
				       type->name ? type->name : "{…}");
		if (!type->complete)
			lbpf_lex_error(t->lex, at, "%s %s is not defined here", lbpf_ctype_keyword(type->kind),
				       type->name);
		break;
	default:
		break;
	}
}

bool lbpf_ctype_is_bool(const struct lbpf_ctype *type)
{
	return type->kind == LBPF_C_INT && type->encoding & BTF_INT_BOOL;
}

bool lbpf_ctype_is_signed(const struct lbpf_ctype *type)
{
	return type->kind == LBPF_C_ENUM ? type->is_signed : type->encoding & BTF_INT_SIGNED;
}

uint32_t lbpf_ctype_scalar_align(uint32_t size, bool is_float)
{
	for (size_t i = is_float ? LBPF_BASE_FLOAT : 0; i < (is_float ? LBPF_BASE_INDEX : LBPF_BASE_FLOAT); i++)
		if (bases[i].size == size)
			return bases[i].align;
	return 1;
}

struct lbpf_cvalue lbpf_cmember_value(const struct lbpf_cmember *m)
{
	int64_t v = (int64_t)m->value;

	if (m->negative)
		return (struct lbpf_cvalue){ m->value, false, v < INT32_MIN };
	return (struct lbpf_cvalue){ m->value, v < 0 || (v > INT32_MAX && v <= UINT32_MAX), v < 0 || v > UINT32_MAX };
}

uint32_t lbpf_ctype_base(struct lbpf_ctypes *t, enum lbpf_cbase base)
{
	bool is_float = base >= LBPF_BASE_FLOAT && base <= LBPF_BASE_LDOUBLE;
	uint32_t i = t->base[base];

	if (i)
		return i;
	i = lbpf_ctype_new(t, is_float ? LBPF_C_FLOAT : LBPF_C_INT, 0, bases[base].name);
	t->type[i].size = bases[base].size;
	t->type[i].align = bases[base].align;
	t->type[i].encoding = bases[base].encoding;
	t->type[i].id = lbpf_cbtf_find_scalar(t, &t->type[i]);
	t->base[base] = i;
	return i;
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
	if (size && count > LBPF_CTYPE_MAX_SIZE / size)
		lbpf_lex_error(t->lex, at, "the array is larger than 2 GiB");
	lbpf_ctype_base(t, LBPF_BASE_INDEX);
	i = lbpf_ctype_new(t, LBPF_C_ARRAY, elem, NULL);
	t->type[i].size = size * count;
	t->type[i].align = align;
	t->type[i].count = count;
	return i;
}

/* ---- comparing ---- */

static bool equal(struct lbpf_ctypes *t, uint32_t a, uint32_t b, int depth);

/* The first member from here on that has a name or a value. BTF doesn't have unnamed bit-fields. */
static uint32_t skip_padding(const struct lbpf_ctypes *t, uint32_t m)
{
	while (m && t->member[m].is_bitfield && !t->member[m].name)
		m = t->member[m].next;
	return m;
}

static bool same_member(const struct lbpf_cmember *x, const struct lbpf_cmember *y, bool is_half)
{
	/* In BTF, an enumerator may be sign-extended or not. */
	uint64_t mask = is_half ? UINT32_MAX : UINT64_MAX;

	return strcmp(x->name ? x->name : "", y->name ? y->name : "") == 0 && x->bit == y->bit && x->bits == y->bits &&
		(x->value & mask) == (y->value & mask);
}

static bool same_members(struct lbpf_ctypes *t, uint32_t a, uint32_t b, int depth)
{
	uint32_t i = skip_padding(t, lbpf_cbtf_members(t, a)), j = skip_padding(t, lbpf_cbtf_members(t, b));
	bool is_half = t->type[a].size < 8 || t->type[a].cut || t->type[b].cut;

	if (t->type[a].size != t->type[b].size || t->type[a].kind != t->type[b].kind)
		return false;
	while (i && j) {
		if (!same_member(&t->member[i], &t->member[j], is_half))
			return false;
		if (t->type[a].kind != LBPF_C_ENUM && !equal(t, t->member[i].type, t->member[j].type, depth + 1))
			return false;
		i = skip_padding(t, t->member[i].next);
		j = skip_padding(t, t->member[j].next);
	}
	return i == j;
}

static bool equal(struct lbpf_ctypes *t, uint32_t a, uint32_t b, int depth)
{
	const struct lbpf_ctype *x = &t->type[a = lbpf_ctype_strip(t, a)];
	const struct lbpf_ctype *y = &t->type[b = lbpf_ctype_strip(t, b)];

	lbpf_cbtf_step(t, x->id);
	if (a == b)
		return true;
	if (depth > CTYPE_MAX_DEPTH || x->kind != y->kind || x->size != y->size || x->encoding != y->encoding)
		return false;
	switch (x->kind) {
	case LBPF_C_ARRAY:
		return x->count == y->count && equal(t, lbpf_cbtf_element(t, a), lbpf_cbtf_element(t, b), depth + 1);
	case LBPF_C_STRUCT:
	case LBPF_C_UNION:
	case LBPF_C_ENUM:
		if (x->name || y->name)
			return x->name && y->name && strcmp(x->name, y->name) == 0;
		return same_members(t, a, b, depth);
	default:
		return true;
	}
}

bool lbpf_ctype_equal(struct lbpf_ctypes *t, uint32_t a, uint32_t b)
{
	return equal(t, a, b, 0);
}

bool lbpf_ctype_same_members(struct lbpf_ctypes *t, uint32_t a, uint32_t b)
{
	return same_members(t, a, b, 0);
}
