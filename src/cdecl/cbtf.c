/* SPDX-License-Identifier: MIT */
/* Types of C declarations and BTF: reading types that the BTF already has, and writing new ones. The BTF may come from
 * a damaged file: sizes, depth and loops are checked, and the work that it can cause is limited. */
#include "cdecl/types.h"

#include <string.h>

#include <lauxlib.h>

#include <bpf/btf.h>

#include "base/err.h"
#include "cdecl/btfenum.h"

#define CBTF_MAX_DEPTH 32
#define CBTF_MAX_STEPS 1000000

static _Noreturn void malformed(const struct lbpf_ctypes *t, uint32_t id, const char *how)
{
	luaL_error(t->L, "C declaration: the BTF it is to be added to is malformed: type %I %s", (LUAI_UACINT)id, how);
	__builtin_unreachable();
}

void lbpf_cbtf_step(struct lbpf_ctypes *t, uint32_t id)
{
	if (++t->steps > CBTF_MAX_STEPS)
		malformed(t, id, "takes forever");
}

static const struct btf_type *btf_at(struct lbpf_ctypes *t, uint32_t id)
{
	const struct btf_type *found = btf__type_by_id(t->btf, id);

	lbpf_cbtf_step(t, id);
	if (!found)
		malformed(t, id, "is not there");
	return found;
}

static const struct btf_type *btf_resolve(struct lbpf_ctypes *t, uint32_t id)
{
	const struct btf_type *found = btf_at(t, id);

	for (int depth = 0; btf_is_mod(found) || btf_is_typedef(found); depth++) {
		if (depth == CBTF_MAX_DEPTH)
			malformed(t, id, "refers to itself");
		found = btf_at(t, found->type);
	}
	return found;
}

/* Whether a member could be at its place if the struct isn't packed. A bit-field doesn't reach beyond the size of its
 * type. */
static bool is_in_place(struct lbpf_ctypes *t, const struct btf_type *found, uint16_t i, uint32_t align)
{
	uint32_t at = btf_member_bit_offset(found, i), bits = btf_member_bitfield_size(found, i);
	int64_t size = bits ? btf__resolve_size(t->btf, btf_members(found)[i].type) : 0;

	if (!bits)
		return at % (8 * align) == 0;
	return size <= 0 || at % (8 * (uint64_t)size) + bits <= 8 * (uint64_t)size;
}

/* BTF has no alignments: a struct counts as aligned as its members are, unless their places show that it is packed. */
static uint32_t btf_align(struct lbpf_ctypes *t, uint32_t id, int depth)
{
	const struct btf_type *found = btf_resolve(t, id);
	uint32_t align = 1;

	if (depth > CBTF_MAX_DEPTH)
		malformed(t, id, "is nested too deeply");
	switch (btf_kind(found)) {
	case BTF_KIND_PTR:
		return lbpf_ctype_scalar_align(sizeof(void *), false);
	case BTF_KIND_ARRAY:
		return btf_align(t, btf_array(found)->type, depth + 1);
	case BTF_KIND_INT:
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
	case BTF_KIND_FLOAT:
		return lbpf_ctype_scalar_align(found->size, btf_kind(found) == BTF_KIND_FLOAT);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		for (uint16_t i = 0; i < btf_vlen(found); i++) {
			uint32_t one = btf_align(t, btf_members(found)[i].type, depth + 1);

			if (!is_in_place(t, found, i, one))
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

/* Reads a type of the BTF without its aliases. */
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
	if (size < 0 || size > LBPF_CTYPE_MAX_SIZE)
		malformed(t, id, "has no size");
	type->complete = true;
	type->size = (uint32_t)size;
	type->align = btf_align(t, id, 0);
	if (type->kind == LBPF_C_INT)
		type->encoding = btf_int_encoding(found);
	if (type->kind == LBPF_C_ENUM) {
		type->is_signed = lbpf_btfenum_is_signed(t->btf, found);
		type->cut = lbpf_btfenum_is_cut(found);
	}
	if (type->kind == LBPF_C_ARRAY)
		type->count = btf_array(found)->nelems;
	return i;
}

static struct lbpf_cmember enumerator(const struct lbpf_ctypes *t, const struct btf_type *found, bool is_signed,
				      uint16_t k)
{
	struct lbpf_cmember m = { 0 };
	uint32_t name;
	int64_t value = lbpf_btfenum_value(found, k, is_signed, &name);

	m.value = (uint64_t)value;
	m.negative = value < 0 && is_signed;
	m.name = btf__name_by_offset(t->btf, name);
	return m;
}

uint32_t lbpf_cbtf_members(struct lbpf_ctypes *t, uint32_t i)
{
	const struct btf_type *found;

	if (!t->type[i].imported || t->type[i].first)
		return t->type[i].first;
	found = btf_resolve(t, t->type[i].id);
	for (uint16_t k = 0; btf_is_any_enum(found) && k < btf_vlen(found); k++) {
		struct lbpf_cmember m = enumerator(t, found, t->type[i].is_signed, k);

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

uint32_t lbpf_cbtf_element(struct lbpf_ctypes *t, uint32_t i)
{
	if (t->type[i].imported && !t->type[i].ref) {
		uint32_t ref = import(t, btf_array(btf_resolve(t, t->type[i].id))->type);

		t->type[i].ref = ref;
	}
	return t->type[i].ref;
}

static uint32_t find(struct lbpf_ctypes *t, const char *name, uint32_t kind)
{
	int id = btf__find_by_name_kind(t->btf, name, kind);

	return id > 0 ? (uint32_t)id : 0;
}

uint32_t lbpf_cbtf_find(struct lbpf_ctypes *t, enum lbpf_ckind kind, const char *name)
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

uint32_t lbpf_cbtf_find_scalar(struct lbpf_ctypes *t, const struct lbpf_ctype *type)
{
	uint32_t id = find(t, type->name, type->kind == LBPF_C_FLOAT ? BTF_KIND_FLOAT : BTF_KIND_INT);
	const struct btf_type *found = btf__type_by_id(t->btf, id);

	if (!id || !found || found->size != type->size)
		return 0;
	return btf_is_int(found) && btf_int_encoding(found) != type->encoding ? 0 : id;
}

bool lbpf_cbtf_find_enumerator(struct lbpf_ctypes *t, const char *name, struct lbpf_cvalue *value)
{
	for (uint32_t id = 1; id < btf__type_cnt(t->btf); id++) {
		const struct btf_type *found = btf__type_by_id(t->btf, id);

		if (!found || !btf_is_any_enum(found) || lbpf_btfenum_is_cut(found))
			continue;
		for (uint16_t k = 0; k < btf_vlen(found); k++) {
			struct lbpf_cmember m = enumerator(t, found, true, k);

			if (m.name && strcmp(m.name, name) == 0) {
				m = enumerator(t, found, lbpf_btfenum_is_signed(t->btf, found), k);
				*value = lbpf_cmember_value(&m);
				return true;
			}
		}
	}
	return false;
}

/* ---- writing ---- */

static int id_of(const struct lbpf_ctypes *t, uint32_t i)
{
	return (int)t->type[i].id;
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
			err = btf__add_field(t->btf, m->name, id_of(t, m->type), m->bit, m->bits);
	}
	return err ? err : id;
}

/* In an enum with values of 32 bits, a large unsigned value can't be told from a negative one. */
static bool needs_enum64(const struct lbpf_ctypes *t, const struct lbpf_ctype *type)
{
	bool large = false;

	for (uint32_t i = type->first; i; i = t->member[i].next)
		large |= !t->member[i].negative && t->member[i].value > INT32_MAX;
	return type->size == 8 || large;
}

static int write_enum(struct lbpf_ctypes *t, const struct lbpf_ctype *type)
{
	bool is64 = needs_enum64(t, type);
	int id, err = 0;

	if (!type->complete)
		return btf__add_fwd(t->btf, type->name, BTF_FWD_ENUM);
	if (is64)
		id = btf__add_enum64(t->btf, type->name, type->size, type->is_signed);
	else
		id = btf__add_enum(t->btf, type->name, type->size);
	for (uint32_t i = type->first; i && id >= 0 && !err; i = t->member[i].next) {
		const struct lbpf_cmember *m = &t->member[i];

		if (is64)
			err = btf__add_enum64_value(t->btf, m->name, m->value);
		else
			err = btf__add_enum_value(t->btf, m->name, (int64_t)m->value);
	}
	return err ? err : id;
}

static int write_func(struct lbpf_ctypes *t, const struct lbpf_ctype *type)
{
	int id = btf__add_func_proto(t->btf, id_of(t, type->ref)), err = 0;

	for (uint32_t i = type->first; i && id >= 0 && !err; i = t->member[i].next)
		err = btf__add_func_param(t->btf, t->member[i].name, id_of(t, t->member[i].type));
	return err ? err : id;
}

static int write_type(struct lbpf_ctypes *t, const struct lbpf_ctype *type)
{
	int ref = id_of(t, type->ref);

	switch (type->kind) {
	case LBPF_C_INT:
		return btf__add_int(t->btf, type->name, type->size, type->encoding);
	case LBPF_C_FLOAT:
		return btf__add_float(t->btf, type->name, type->size);
	case LBPF_C_PTR:
		return btf__add_ptr(t->btf, ref);
	case LBPF_C_ARRAY:
		return btf__add_array(t->btf, id_of(t, t->base[LBPF_BASE_INDEX]), ref, type->count);
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

void lbpf_cbtf_write(struct lbpf_ctypes *t)
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
}
