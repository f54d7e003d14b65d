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

/* ---- what the BTF knows ---- */

static _Noreturn void malformed(const struct lbpf_ctypes *t, uint32_t id, const char *how)
{
	luaL_error(t->L, "C declaration: the BTF it is to be added to is malformed: type %d %s", (int)id, how);
	__builtin_unreachable();
}

static void step(struct lbpf_ctypes *t, uint32_t id)
{
	if (++t->steps > CTYPE_MAX_STEPS)
		malformed(t, id, "takes forever");
}

static const struct btf_type *btf_at(struct lbpf_ctypes *t, uint32_t id)
{
	const struct btf_type *found = btf__type_by_id(t->btf, id);

	step(t, id);
	if (!found)
		malformed(t, id, "is not there");
	return found;
}

static const struct btf_type *btf_resolve(struct lbpf_ctypes *t, uint32_t id)
{
	const struct btf_type *found = btf_at(t, id);

	for (int depth = 0; btf_is_mod(found) || btf_is_typedef(found); depth++) {
		if (depth == CTYPE_MAX_DEPTH)
			malformed(t, id, "refers to itself");
		found = btf_at(t, found->type);
	}
	return found;
}

static uint32_t scalar_align(uint32_t size, bool is_float)
{
	for (size_t i = is_float ? LBPF_BASE_FLOAT : 0; i < (is_float ? LBPF_BASE_INDEX : LBPF_BASE_FLOAT); i++)
		if (bases[i].size == size)
			return bases[i].align;
	return 1;
}

/* BTF doesn't tell: a struct is aligned as its members are, unless their places show that it is packed. */
static uint32_t btf_align(struct lbpf_ctypes *t, uint32_t id, int depth)
{
	const struct btf_type *found = btf_resolve(t, id);
	uint32_t align = 1;

	if (depth > CTYPE_MAX_DEPTH)
		malformed(t, id, "is nested too deeply");
	switch (btf_kind(found)) {
	case BTF_KIND_PTR:
		return bases[LBPF_BASE_ULONG].align;
	case BTF_KIND_ARRAY:
		return btf_align(t, btf_array(found)->type, depth + 1);
	case BTF_KIND_INT:
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
	case BTF_KIND_FLOAT:
		return scalar_align(found->size, btf_kind(found) == BTF_KIND_FLOAT);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		for (uint16_t i = 0; i < btf_vlen(found); i++) {
			uint32_t one = btf_align(t, btf_members(found)[i].type, depth + 1);

			if (!btf_member_bitfield_size(found, i) && btf_member_bit_offset(found, i) % (8 * one))
				return 1;
			align = one > align ? one : align;
		}
		return found->size % align ? 1 : align;
	default:
		return 1;
	}
}

static enum lbpf_ckind kind_of(const struct btf_type *found)
{
	switch (btf_kind(found)) {
	case BTF_KIND_INT:
		return LBPF_C_INT;
	case BTF_KIND_FLOAT:
		return LBPF_C_FLOAT;
	case BTF_KIND_PTR:
		return LBPF_C_PTR;
	case BTF_KIND_ARRAY:
		return LBPF_C_ARRAY;
	case BTF_KIND_STRUCT:
		return LBPF_C_STRUCT;
	case BTF_KIND_FWD:
		return btf_kflag(found) ? LBPF_C_UNION : LBPF_C_STRUCT;
	case BTF_KIND_UNION:
		return LBPF_C_UNION;
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		return LBPF_C_ENUM;
	case BTF_KIND_FUNC_PROTO:
		return LBPF_C_FUNC;
	default:
		return LBPF_C_VOID;
	}
}

/* A type of the BTF, as what it is behind its aliases. */
static uint32_t import(struct lbpf_ctypes *t, uint32_t id)
{
	const struct btf_type *found = btf_resolve(t, id);
	uint32_t i = lbpf_ctype_new(t, kind_of(found), 0, NULL);
	struct lbpf_ctype *type = &t->type[i];
	int64_t size = btf__resolve_size(t->btf, id);

	type->name = found->name_off ? btf__name_by_offset(t->btf, found->name_off) : NULL;
	type->id = id;
	type->imported = true;
	if (type->kind == LBPF_C_VOID || type->kind == LBPF_C_FUNC || btf_is_fwd(found))
		return i;
	if (size < 0 || size > CTYPE_MAX_SIZE)
		malformed(t, id, "has no size");
	type->complete = true;
	type->size = (uint32_t)size;
	type->align = btf_align(t, id, 0);
	if (type->kind == LBPF_C_INT)
		type->encoding = btf_int_encoding(found);
	if (type->kind == LBPF_C_ENUM)
		type->is_signed = btf_kflag(found);
	if (type->kind == LBPF_C_ARRAY)
		type->count = btf_array(found)->nelems;
	return i;
}

static struct lbpf_cmember enumerator(const struct lbpf_ctypes *t, const struct btf_type *found, uint16_t k)
{
	struct lbpf_cmember m = { .negative = btf_kflag(found) };
	uint32_t name;

	if (btf_is_enum(found)) {
		name = btf_enum(found)[k].name_off;
		m.value = m.negative ? (uint64_t)btf_enum(found)[k].val : (uint32_t)btf_enum(found)[k].val;
	} else {
		name = btf_enum64(found)[k].name_off;
		m.value = (uint64_t)btf_enum64(found)[k].val_hi32 << 32 | btf_enum64(found)[k].val_lo32;
	}
	m.negative = m.negative && m.value > INT64_MAX;
	m.name = btf__name_by_offset(t->btf, name);
	return m;
}

struct lbpf_cvalue lbpf_cmember_value(const struct lbpf_cmember *m)
{
	int64_t v = (int64_t)m->value;
	struct lbpf_cvalue value = { .v = m->value };

	if (m->negative)
		value.is_long = v < INT32_MIN;
	else
		value.is_unsigned = m->value > INT64_MAX || (v > INT32_MAX && v <= UINT32_MAX);
	if (!m->negative)
		value.is_long = m->value > UINT32_MAX;
	return value;
}

uint32_t lbpf_ctype_members(struct lbpf_ctypes *t, uint32_t i)
{
	const struct btf_type *found;

	if (!t->type[i].imported || t->type[i].first)
		return t->type[i].first;
	found = btf_resolve(t, t->type[i].id);
	for (uint16_t k = 0; btf_is_any_enum(found) && k < btf_vlen(found); k++) {
		struct lbpf_cmember m = enumerator(t, found, k);

		lbpf_ctype_add(t, i, &m);
	}
	for (uint16_t k = 0; btf_is_composite(found) && k < btf_vlen(found); k++) {
		const struct btf_member *from = btf_members(found) + k;
		struct lbpf_cmember m = { .bit = btf_member_bit_offset(found, k) };

		m.bits = (uint8_t)btf_member_bitfield_size(found, k);
		m.is_bitfield = m.bits != 0;
		m.name = from->name_off ? btf__name_by_offset(t->btf, from->name_off) : NULL;
		m.type = import(t, from->type);
		lbpf_ctype_add(t, i, &m);
	}
	return t->type[i].first;
}

static uint32_t find(struct lbpf_ctypes *t, const char *name, uint32_t kind)
{
	int id = btf__find_by_name_kind(t->btf, name, kind);

	return id > 0 ? (uint32_t)id : 0;
}

uint32_t lbpf_ctype_find(struct lbpf_ctypes *t, enum lbpf_ckind kind, const char *name)
{
	uint32_t id = 0;

	if (kind == LBPF_C_TYPEDEF)
		id = find(t, name, BTF_KIND_TYPEDEF);
	else if (kind == LBPF_C_UNION)
		id = find(t, name, BTF_KIND_UNION);
	else if (kind == LBPF_C_STRUCT)
		id = find(t, name, BTF_KIND_STRUCT);
	else if (!(id = find(t, name, BTF_KIND_ENUM)))
		id = find(t, name, BTF_KIND_ENUM64);
	return id ? import(t, id) : 0;
}

bool lbpf_ctype_find_enumerator(struct lbpf_ctypes *t, const char *name, struct lbpf_cvalue *value)
{
	for (uint32_t id = 1; id < btf__type_cnt(t->btf); id++) {
		const struct btf_type *found = btf__type_by_id(t->btf, id);

		for (uint16_t k = 0; found && btf_is_any_enum(found) && k < btf_vlen(found); k++) {
			struct lbpf_cmember m = enumerator(t, found, k);

			if (m.name && strcmp(m.name, name) == 0) {
				*value = lbpf_cmember_value(&m);
				return true;
			}
		}
	}
	return false;
}

enum lbpf_cbase lbpf_ctype_base_named(const char *name)
{
	size_t i = 0;

	while (i < LBPF_BASES && strcmp(bases[i].name, name) != 0)
		i++;
	return (enum lbpf_cbase)i;
}

uint32_t lbpf_ctype_base(struct lbpf_ctypes *t, enum lbpf_cbase base)
{
	bool is_float = base >= LBPF_BASE_FLOAT && base <= LBPF_BASE_LDOUBLE;
	const struct btf_type *old;
	uint32_t i, id;

	if (t->base[base])
		return t->base[base];
	i = lbpf_ctype_new(t, is_float ? LBPF_C_FLOAT : LBPF_C_INT, 0, bases[base].name);
	t->type[i].size = bases[base].size;
	t->type[i].align = bases[base].align;
	t->type[i].encoding = bases[base].encoding;
	id = find(t, bases[base].name, is_float ? BTF_KIND_FLOAT : BTF_KIND_INT);
	old = btf__type_by_id(t->btf, id);
	if (id && old && old->size == bases[base].size && (is_float || btf_int_encoding(old) == bases[base].encoding))
		t->type[i].id = id;
	t->base[base] = i;
	return i;
}

/* ---- comparing ---- */

static bool equal(struct lbpf_ctypes *t, uint32_t a, uint32_t b, int depth);

static bool same_members(struct lbpf_ctypes *t, uint32_t a, uint32_t b, int depth)
{
	uint32_t i = lbpf_ctype_members(t, a), j = lbpf_ctype_members(t, b);

	if (t->type[a].size != t->type[b].size || t->type[a].kind != t->type[b].kind)
		return false;
	for (;; i = t->member[i].next, j = t->member[j].next) {
		/* BTF lacks those that are there for their space alone. */
		while (i && t->member[i].is_bitfield && !t->member[i].name)
			i = t->member[i].next;
		while (j && t->member[j].is_bitfield && !t->member[j].name)
			j = t->member[j].next;
		if (!i || !j)
			return i == j;
		if (strcmp(t->member[i].name ? t->member[i].name : "", t->member[j].name ? t->member[j].name : "") !=
			    0 ||
		    t->member[i].bit != t->member[j].bit || t->member[i].bits != t->member[j].bits ||
		    t->member[i].value != t->member[j].value)
			return false;
		if (t->type[a].kind != LBPF_C_ENUM && !equal(t, t->member[i].type, t->member[j].type, depth + 1))
			return false;
	}
}

uint32_t lbpf_ctype_element(struct lbpf_ctypes *t, uint32_t i)
{
	if (t->type[i].imported && !t->type[i].ref) {
		uint32_t ref = import(t, btf_array(btf_resolve(t, t->type[i].id))->type);

		t->type[i].ref = ref;
	}
	return t->type[i].ref;
}

static bool equal(struct lbpf_ctypes *t, uint32_t a, uint32_t b, int depth)
{
	const struct lbpf_ctype *x = &t->type[a = lbpf_ctype_strip(t, a)];
	const struct lbpf_ctype *y = &t->type[b = lbpf_ctype_strip(t, b)];

	step(t, x->id);
	if (a == b)
		return true;
	if (depth > CTYPE_MAX_DEPTH || x->kind != y->kind || x->size != y->size || x->encoding != y->encoding)
		return false;
	switch (x->kind) {
	case LBPF_C_ARRAY:
		return x->count == y->count && equal(t, lbpf_ctype_element(t, a), lbpf_ctype_element(t, b), depth + 1);
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

/* ---- layout: what gcc does, which is the System V ABI and then some ---- */

struct layout {
	uint64_t pos, align; /* in bits */
	bool is_union, packed, has_bitfields;
};

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

static uint64_t max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Whether unnamed bit-fields align the struct as well. */
#if defined(__aarch64__) || defined(__arm__)
#define UNNAMED_ALIGN true
#else
#define UNNAMED_ALIGN false
#endif

static void place_bitfield(struct layout *l, struct lbpf_cmember *m, uint64_t size, uint64_t align)
{
	bool packed = l->packed || m->packed;
	uint64_t wanted = m->align * 8;

	if (m->bits == 0) {
		/* It moves on to where one of its type could start, in a packed struct as well. */
		wanted = max(wanted, align);
		packed = false;
	}
	if (m->name || UNNAMED_ALIGN)
		l->align = max(l->align, max(wanted, packed ? 8 : align));
	if (l->is_union)
		return;
	if (wanted)
		l->pos = round_up(l->pos, wanted);
	/* It doesn't reach into more units of its type's alignment than the type itself takes. */
	if (!packed && m->bits && (l->pos % align + m->bits + align - 1) / align > size / align)
		l->pos = round_up(l->pos, align);
}

static void place_member(struct layout *l, const struct lbpf_cmember *m, uint64_t align)
{
	if ((l->packed || m->packed) && align > 8)
		align = m->align ? m->align * 8 : 8;
	else
		align = max(align, m->align * 8);
	l->align = max(l->align, align);
	if (!l->is_union)
		l->pos = round_up(l->pos, align);
}

static void place(struct lbpf_ctypes *t, struct layout *l, struct lbpf_cmember *m, uint64_t *end)
{
	uint64_t size = 8 * (uint64_t)lbpf_ctype_size(t, m->type), align = 8 * (uint64_t)lbpf_ctype_align(t, m->type);

	if (m->is_bitfield)
		place_bitfield(l, m, size, align);
	else
		place_member(l, m, align);
	if (l->pos > UINT32_MAX)
		lbpf_lex_error(t->lex, m->at, "this member is beyond the 512 MiB that BTF can describe");
	m->bit = (uint32_t)l->pos;
	*end = max(*end, l->pos + (m->is_bitfield ? m->bits : size));
	if (!l->is_union)
		l->pos = *end;
	l->has_bitfields |= m->is_bitfield && m->name;
	if (l->has_bitfields && m->bit > 0xffffff)
		lbpf_lex_error(t->lex, m->at,
			       "this member is beyond the 2 MiB that BTF can describe along with bit-fields");
	if (*end / 8 > CTYPE_MAX_SIZE)
		lbpf_lex_error(t->lex, m->at, "with this member the struct is larger than 2 GiB");
}

void lbpf_ctype_layout(struct lbpf_ctypes *t, uint32_t i, bool packed, uint32_t align)
{
	struct layout l = { .align = align ? align * 8 : 8,
			    .is_union = t->type[i].kind == LBPF_C_UNION,
			    .packed = packed };
	uint64_t end = 0, last = 0;

	for (uint32_t m = t->type[i].first; m; m = t->member[m].next) {
		place(t, &l, &t->member[m], &end);
		last = max(last, t->member[m].bit);
	}
	end = round_up(end, l.align) / 8;
	if (end > CTYPE_MAX_SIZE)
		lbpf_lex_error(t->lex, t->member[t->type[i].last].at,
			       "with this member the struct is larger than 2 GiB");
	t->type[i].size = (uint32_t)end;
	t->type[i].align = (uint32_t)(l.align / 8);
	t->type[i].complete = true;
	t->type[i].open = false;
}

/* Its type is int or unsigned int if that holds all of them, else long or unsigned long; if packed, any. */
bool lbpf_ctype_layout_enum(struct lbpf_ctypes *t, uint32_t i, bool packed, uint32_t align)
{
	uint64_t highest = 0, size = packed ? 1 : 4;
	int64_t lowest = 0;

	for (uint32_t m = t->type[i].first; m; m = t->member[m].next) {
		if (!t->member[m].negative)
			highest = max(highest, t->member[m].value);
		else if ((int64_t)t->member[m].value < lowest)
			lowest = (int64_t)t->member[m].value;
	}
	/* As many bits as the lowest needs besides its sign, so that one bound serves for both. */
	if (lowest < 0 && highest < (uint64_t)~lowest)
		highest = (uint64_t)~lowest;
	if (lowest < 0 && highest > INT64_MAX)
		return false;
	while (size < 8 && highest >> (8 * size - (lowest < 0)))
		size *= 2;
	t->type[i].size = (uint32_t)size;
	t->type[i].align = (uint32_t)max(scalar_align((uint32_t)size, false), align);
	t->type[i].is_signed = lowest < 0;
	t->type[i].complete = true;
	t->type[i].open = false;
	return true;
}

/* ---- writing ---- */

static uint32_t id_of(const struct lbpf_ctypes *t, uint32_t i)
{
	return t->type[i].id;
}

static int write_struct(struct lbpf_ctypes *t, const struct lbpf_ctype *type)
{
	int id, err = 0;

	if (!type->complete)
		return btf__add_fwd(t->btf, type->name, type->kind == LBPF_C_UNION ? BTF_FWD_UNION : BTF_FWD_STRUCT);
	if (type->kind == LBPF_C_UNION)
		id = btf__add_union(t->btf, type->name, type->size);
	else
		id = btf__add_struct(t->btf, type->name, type->size);
	for (uint32_t i = type->first; i && id >= 0 && !err; i = t->member[i].next) {
		const struct lbpf_cmember *m = &t->member[i];

		if (m->name || !m->is_bitfield)
			err = btf__add_field(t->btf, m->name, (int)id_of(t, m->type), m->bit, m->bits);
	}
	return err ? err : id;
}

static int write_enum(struct lbpf_ctypes *t, const struct lbpf_ctype *type)
{
	int id, err = 0;

	if (!type->complete)
		return btf__add_fwd(t->btf, type->name, BTF_FWD_ENUM);
	if (type->size == 8)
		id = btf__add_enum64(t->btf, type->name, 8, type->is_signed);
	else
		id = btf__add_enum(t->btf, type->name, type->size);
	for (uint32_t i = type->first; i && id >= 0 && !err; i = t->member[i].next) {
		const struct lbpf_cmember *m = &t->member[i];

		if (type->size == 8)
			err = btf__add_enum64_value(t->btf, m->name, m->value);
		else
			err = btf__add_enum_value(t->btf, m->name, (int64_t)m->value);
	}
	return err ? err : id;
}

static int write_func(struct lbpf_ctypes *t, const struct lbpf_ctype *type)
{
	int id = btf__add_func_proto(t->btf, (int)id_of(t, type->ref)), err = 0;

	for (uint32_t i = type->first; i && id >= 0 && !err; i = t->member[i].next)
		err = btf__add_func_param(t->btf, t->member[i].name, (int)id_of(t, t->member[i].type));
	return err ? err : id;
}

static int write_type(struct lbpf_ctypes *t, const struct lbpf_ctype *type)
{
	int ref = (int)id_of(t, type->ref);

	switch (type->kind) {
	case LBPF_C_INT:
		return btf__add_int(t->btf, type->name, type->size, type->encoding);
	case LBPF_C_FLOAT:
		return btf__add_float(t->btf, type->name, type->size);
	case LBPF_C_PTR:
		return btf__add_ptr(t->btf, ref);
	case LBPF_C_ARRAY:
		return btf__add_array(t->btf, (int)id_of(t, t->base[LBPF_BASE_INDEX]), ref, type->count);
	case LBPF_C_STRUCT:
	case LBPF_C_UNION:
		return write_struct(t, type);
	case LBPF_C_ENUM:
		return write_enum(t, type);
	case LBPF_C_FUNC:
		return write_func(t, type);
	case LBPF_C_TYPEDEF:
		return btf__add_typedef(t->btf, type->name, ref);
	case LBPF_C_TAGGED:
		return btf__add_type_tag(t->btf, type->name, ref);
	default:
		return 0;
	}
}

uint32_t lbpf_ctypes_write(struct lbpf_ctypes *t, uint32_t i)
{
	uint32_t id = btf__type_cnt(t->btf), first = id;

	for (uint32_t k = 1; k < t->types; k++)
		if (!t->type[k].id && !t->type[k].dropped && t->type[k].kind != LBPF_C_VOID)
			t->type[k].id = id++;
	for (uint32_t k = 1; k < t->types; k++) {
		int err;

		if (t->type[k].id < first)
			continue;
		err = write_type(t, &t->type[k]);
		if (err < 0)
			lbpf_err_raise(t->L, err, NULL, "C declaration: adding a type to the BTF");
	}
	return id_of(t, i);
}
