/* SPDX-License-Identifier: MIT */
/* Whether two types mean the same. Names of structs, typedefs and enumerators are not compared, and neither are the
 * targets of pointers. Compared are the place and name of each member, and how its bytes are read. */
#include "btf/same.h"

#include <stdio.h>
#include <string.h>

#include <bpf/btf.h>

#include "cdecl/btfenum.h"

enum { MAX_DEPTH = 32 };

/* The type without its qualifiers and typedefs. This ends, because the kernel has checked its BTF, and check.c the
 * object's. */
static const struct btf_type *bare_type(const struct btf *btf, uint32_t id)
{
	const struct btf_type *t = btf__type_by_id(btf, id);

	while (t && (btf_is_mod(t) || btf_is_typedef(t)))
		t = btf__type_by_id(btf, t->type);
	return t;
}

static const char *name_of(const struct btf *btf, uint32_t offset)
{
	const char *name = btf__name_by_offset(btf, offset);

	return name ? name : "";
}

/* Whether a type is va_list, which each compiler defines in its own way. */
static bool is_va_list(const struct btf *btf, uint32_t id)
{
	const struct btf_type *t = btf__type_by_id(btf, id);

	while (t && btf_is_typedef(t)) {
		if (strcmp(name_of(btf, t->name_off), "__builtin_va_list") == 0)
			return true;
		t = btf__type_by_id(btf, t->type);
	}
	return false;
}

/* An enum with values of 8 bytes is of another kind. */
static uint32_t kind_of(const struct btf_type *t)
{
	uint32_t kind = btf_kind(t);

	return kind == BTF_KIND_ENUM64 ? BTF_KIND_ENUM : kind;
}

static void describe(const struct btf *btf, const struct btf_type *t, char *text, size_t size)
{
	static const char *const kinds[] = {
		[BTF_KIND_PTR] = "a pointer",	  [BTF_KIND_ARRAY] = "an array",
		[BTF_KIND_STRUCT] = "a struct",	  [BTF_KIND_UNION] = "a union",
		[BTF_KIND_ENUM] = "an enum",	  [BTF_KIND_FWD] = "a forward declaration",
		[BTF_KIND_DATASEC] = "a section",
	};
	uint32_t kind = kind_of(t);
	const char *word = kind < sizeof(kinds) / sizeof(*kinds) ? kinds[kind] : NULL;

	if (kind == BTF_KIND_ARRAY)
		snprintf(text, size, "an array of %u", btf_array(t)->nelems);
	else if (btf_is_int(t) || btf_is_float(t))
		snprintf(text, size, "%s of %u bytes", name_of(btf, t->name_off), t->size);
	else
		snprintf(text, size, "%s", word ? word : "another kind of type");
}

static bool differ(struct lbpf_btfsame *s, const struct btf_type *found, const struct btf_type *wanted)
{
	char there[128], here[128];

	describe(s->found, found, there, sizeof(there));
	describe(s->wanted, wanted, here, sizeof(here));
	snprintf(s->difference, sizeof(s->difference), "%s is %s, wanted %s", s->path, there, here);
	return false;
}

/* How libbpf rewrites types that the kernel doesn't know when it loads their BTF. */
static bool is_stand_in(const struct btf_type *found, const struct btf_type *wanted)
{
	return found->size == wanted->size &&
		((btf_is_float(wanted) && btf_is_struct(found) && btf_vlen(found) == 0) ||
		 (btf_is_enum64(wanted) && btf_is_union(found)));
}

/* libbpf makes enumerators that have the same name different: NAME___2. */
static bool same_name(const char *found, const char *wanted)
{
	size_t len = strlen(wanted);

	return strncmp(found, wanted, len) == 0 && (!found[len] || strncmp(found + len, "___", 3) == 0);
}

static bool same_enum(struct lbpf_btfsame *s, const struct btf_type *found, const struct btf_type *wanted)
{
	uint16_t n = btf_vlen(wanted);
	uint64_t mask = lbpf_btfenum_is_cut(wanted) ? UINT32_MAX : UINT64_MAX;
	bool found_signed = lbpf_btfenum_is_signed(s->found, found);
	bool wanted_signed = lbpf_btfenum_is_signed(s->wanted, wanted);
	bool same_sign = found_signed == wanted_signed || mask == UINT32_MAX;

	if (found->size != wanted->size)
		return differ(s, found, wanted);
	if (s->whole && n != btf_vlen(found)) {
		snprintf(s->difference, sizeof(s->difference), "%s has %u enumerators, wanted %u", s->path,
			 btf_vlen(found), n);
		return false;
	}
	for (uint16_t i = 0; s->whole && i < n; i++) {
		uint32_t there, here;
		uint64_t value = (uint64_t)lbpf_btfenum_value(found, i, found_signed, &there);
		uint64_t wanted_value = (uint64_t)lbpf_btfenum_value(wanted, i, wanted_signed, &here);

		if ((value & mask) == (wanted_value & mask) && (same_sign || (int64_t)value >= 0) &&
		    same_name(name_of(s->found, there), name_of(s->wanted, here)))
			continue;
		snprintf(s->difference, sizeof(s->difference), "%s has the enumerator %s = %lld, wanted %s = %lld",
			 s->path, name_of(s->found, there), (long long)value, name_of(s->wanted, here),
			 (long long)wanted_value);
		return false;
	}
	return true;
}

/* Whether the signs of two integer types can't be compared because of a type's name: a compiler's option decides about
 * char, and old versions of pahole don't mark signed char as signed. */
static bool is_char(const struct btf *btf, const struct btf_type *t)
{
	const char *name = name_of(btf, t->name_off);

	return strcmp(name, "char") == 0 || strcmp(name, "signed char") == 0;
}

/* Some compilers mark a char as a character, and others don't. */
static bool is_same_int(const struct lbpf_btfsame *s, const struct btf_type *found, const struct btf_type *wanted)
{
	unsigned int mask = BTF_INT_SIGNED | BTF_INT_BOOL;

	if (s->whole && is_char(s->wanted, wanted))
		mask = 0;
	return found->size == wanted->size && btf_int_bits(found) == btf_int_bits(wanted) &&
		(btf_int_encoding(found) & mask) == (btf_int_encoding(wanted) & mask);
}

static bool same_type(struct lbpf_btfsame *s, uint32_t found_id, uint32_t wanted_id, int depth);

static bool same_member(struct lbpf_btfsame *s, const struct btf_type *found, const struct btf_type *wanted, uint16_t i,
			int depth)
{
	const struct btf_member *there = btf_members(found) + i, *here = btf_members(wanted) + i;
	const char *name = name_of(s->found, there->name_off), *other = name_of(s->wanted, here->name_off);
	uint32_t at = btf_member_bit_offset(found, i), wanted_at = btf_member_bit_offset(wanted, i);
	uint32_t bits = btf_member_bitfield_size(found, i), wanted_bits = btf_member_bitfield_size(wanted, i);
	size_t len = strlen(s->path);
	bool same;

	if (strcmp(name, other) != 0) {
		snprintf(s->difference, sizeof(s->difference), "%s has a member '%s' at byte %u, wanted '%s'", s->path,
			 name, at / 8, other);
		return false;
	}
	if (*name)
		snprintf(s->path + len, sizeof(s->path) - len, ".%s", name);
	if (at != wanted_at || bits != wanted_bits) {
		snprintf(s->difference, sizeof(s->difference),
			 "%s begins at bit %u with a bit-field's width of %u, "
			 "wanted bit %u and a width of %u",
			 s->path, at, bits, wanted_at, wanted_bits);
		return false;
	}
	same = same_type(s, there->type, here->type, depth);
	if (same)
		s->path[len] = '\0';
	return same;
}

/* The first member from i on that has a meaning. define.c adds a struct without members to a union to make it
 * longer. */
static uint16_t skip_space(const struct lbpf_btfsame *s, const struct btf_type *found, uint16_t i)
{
	const struct btf_member *m = btf_members(found);

	for (; s->whole && i < btf_vlen(found) && !m[i].name_off; i++) {
		const struct btf_type *t = bare_type(s->found, m[i].type);

		if (!t || !btf_is_composite(t) || btf_vlen(t))
			break;
	}
	return i;
}

static bool same_members(struct lbpf_btfsame *s, const struct btf_type *found, const struct btf_type *wanted, int depth)
{
	uint16_t n = btf_vlen(found), other = btf_vlen(wanted), i;

	for (i = 0; i < n && i < other; i++)
		if (!same_member(s, found, wanted, i, depth))
			return false;
	if (skip_space(s, found, i) == n && i == other)
		return true;
	snprintf(s->difference, sizeof(s->difference), "%s %s '%s'", s->path,
		 n > other ? "has one more member," : "lacks the member",
		 n > other ? name_of(s->found, btf_members(found)[other].name_off)
			   : name_of(s->wanted, btf_members(wanted)[n].name_off));
	return false;
}

static bool same_size(struct lbpf_btfsame *s, const struct btf_type *found, const struct btf_type *wanted)
{
	if (!s->whole || found->size == wanted->size)
		return true;
	snprintf(s->difference, sizeof(s->difference), "%s has %u bytes, wanted %u", s->path, found->size,
		 wanted->size);
	return false;
}

static bool same_array(struct lbpf_btfsame *s, const struct btf_type *found, const struct btf_type *wanted, int depth)
{
	size_t len = strlen(s->path);
	bool same;

	if (btf_array(found)->nelems != btf_array(wanted)->nelems)
		return differ(s, found, wanted);
	snprintf(s->path + len, sizeof(s->path) - len, "[]");
	same = same_type(s, btf_array(found)->type, btf_array(wanted)->type, depth);
	if (same)
		s->path[len] = '\0';
	return same;
}

/* The target of a pointer is part of the definition, if it has no name. */
static bool same_target(struct lbpf_btfsame *s, const struct btf_type *found, const struct btf_type *wanted, int depth)
{
	const struct btf_type *target = bare_type(s->wanted, wanted->type);

	if (!s->whole || !target || !btf_is_composite(target) || target->name_off)
		return true;
	return same_type(s, found->type, wanted->type, depth);
}

static bool same_type(struct lbpf_btfsame *s, uint32_t found_id, uint32_t wanted_id, int depth)
{
	const struct btf_type *found = bare_type(s->found, found_id), *wanted = bare_type(s->wanted, wanted_id);

	if (!found || !wanted || depth == MAX_DEPTH || (!s->whole && is_stand_in(found, wanted)) ||
	    is_va_list(s->wanted, wanted_id))
		return true;
	/* if BTF has a type and also a declaration of it, C has only one of both */
	if (s->whole && btf_is_fwd(wanted) && btf_kind(found) == (btf_kflag(wanted) ? BTF_KIND_UNION : BTF_KIND_STRUCT))
		return true;
	if (kind_of(found) != kind_of(wanted))
		return differ(s, found, wanted);
	switch (kind_of(found)) {
	case BTF_KIND_INT:
		return is_same_int(s, found, wanted) || differ(s, found, wanted);
	case BTF_KIND_PTR:
		return same_target(s, found, wanted, depth + 1);
	case BTF_KIND_ENUM:
		return same_enum(s, found, wanted);
	case BTF_KIND_FLOAT:
		return found->size == wanted->size || differ(s, found, wanted);
	case BTF_KIND_ARRAY:
		return same_array(s, found, wanted, depth + 1);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return same_members(s, found, wanted, depth + 1) && same_size(s, found, wanted);
	default:
		return true;
	}
}

/* A type of bytes has no members: map.create uses it for keys and values without a C type. */
static bool is_bytes(const struct btf *btf, uint32_t id)
{
	const struct btf_type *t = bare_type(btf, id);

	t = t && btf_is_array(t) ? bare_type(btf, btf_array(t)->type) : NULL;
	return t && btf_is_int(t) && t->size == 1;
}

bool lbpf_btfsame(struct lbpf_btfsame *same, uint32_t found, uint32_t wanted)
{
	if (!same->whole && (is_bytes(same->found, found) || is_bytes(same->wanted, wanted)))
		return true;
	return same_type(same, found, wanted, 0);
}
