/* SPDX-License-Identifier: MIT */
/* Writes definitions of structs, unions and enums whose layout is exactly that of the BTF.
 *
 * libbpf guesses from some of a struct's members whether the struct is packed. And it leaves the place of a member to
 * the compiler, even if the compiler may choose another place. Here nothing is left to the compiler: structs are
 * packed, all space between members is unnamed bit-fields, and the alignment is written out. Names and declarators are
 * those of libbpf. */
#include "btf/define.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/btf.h>

#include "cdecl/btfenum.h"

enum {
	/* How many pointers and arrays one declarator may have; weigh.c has refused more. */
	DECLARATOR_MAX = 256,
	ALIGN_MAX = 1 << 28,
};

uint32_t lbpf_btfdefine_which(const struct btf *btf, uint32_t id)
{
	const struct btf_type *t = btf__type_by_id(btf, id);

	if (btf_is_composite(t) || btf_is_any_enum(t))
		return id;
	for (int i = 0; t && i < DECLARATOR_MAX; i++) {
		if (btf_is_array(t))
			id = btf_array(t)->type;
		else if (btf_is_ptr(t) || btf_is_mod(t) || btf_is_func_proto(t))
			id = t->type;
		else
			return (btf_is_composite(t) || btf_is_any_enum(t)) && !t->name_off ? id : 0;
		t = btf__type_by_id(btf, id);
	}
	return 0;
}

static const char *name_at(const struct lbpf_btftext *t, uint32_t offset)
{
	const char *name = btf__name_by_offset(t->btf, offset);

	return name ? name : "";
}

static void add_line(struct lbpf_btftext *t, int level)
{
	lbpf_btftext_add(t, "\n");
	while (level-- > 0)
		lbpf_btftext_add(t, "\t");
}

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

/* ---- enums ---- */

static void add_value(struct lbpf_btftext *t, const struct btf_type *type, int64_t value, bool is_signed)
{
	if (!btf_is_enum64(type))
		lbpf_btftext_add(t, "%" PRId64, value);
	else if (!is_signed)
		lbpf_btftext_add(t, "%" PRIu64 "ULL", (uint64_t)value);
	else if (value == INT64_MIN) /* C has no negative constants, and 2^63 is too large for one */
		lbpf_btftext_add(t, "-%" PRId64 "LL - 1", INT64_MAX);
	else
		lbpf_btftext_add(t, "%" PRId64 "LL", value);
}

/* The size of an enum with these values, if it is packed, or if they are larger than an int. */
static uint32_t least_size(const struct btf_type *type, bool is_signed, bool *negative)
{
	uint64_t most = 0;
	uint32_t name, bits;

	*negative = false;
	for (uint16_t i = 0; i < btf_vlen(type); i++) {
		int64_t value = lbpf_btfenum_value(type, i, is_signed, &name);
		bool below = is_signed && value < 0;

		*negative = *negative || below;
		most |= below ? ~(uint64_t)value : (uint64_t)value;
	}
	bits = (most ? 64 - (uint32_t)__builtin_clzll(most) : 0) + *negative;
	return bits <= 8 ? 1 : bits <= 16 ? 2 : bits <= 32 ? 4 : 8;
}

/* Writes the attribute that gives an enum its size. An enum with a mode is signed for clang since 15, whatever its
 * values are. So if the values alone give the size, no mode is written. */
static void add_enum_size(struct lbpf_btftext *t, const struct btf_type *type, bool is_signed)
{
	static const char *const modes[] = { [1] = "byte", [2] = "HI", [8] = "DI" };
	bool negative, natural = least_size(type, is_signed, &negative) == type->size && negative == is_signed;

	if (type->size >= sizeof(modes) / sizeof(*modes) || !modes[type->size])
		return;
	if (!natural || lbpf_btfenum_is_cut(type))
		lbpf_btftext_add(t, " __attribute__((mode(%s)))", modes[type->size]);
	else if (type->size < 8)
		lbpf_btftext_add(t, " __attribute__((packed))");
}

static void define_enum(struct lbpf_btftext *t, const struct btf_type *type, int level)
{
	bool is_signed = lbpf_btfenum_is_signed(t->btf, type);
	uint32_t name;

	if (lbpf_btfenum_is_cut(type)) {
		add_line(t, level + 1);
		lbpf_btftext_add(t, "/* the lower halves of the values; the BTF lacks the upper ones */");
	}
	for (uint16_t i = 0; i < btf_vlen(type); i++) {
		int64_t value = lbpf_btfenum_value(type, i, is_signed, &name);

		add_line(t, level + 1);
		lbpf_btftext_add(t, "%s = ", name_at(t, name));
		add_value(t, type, value, is_signed);
		lbpf_btftext_add(t, ",");
	}
	add_line(t, level);
	lbpf_btftext_add(t, "}");
	add_enum_size(t, type, is_signed);
}

/* ---- structs and unions ---- */

/* The layout of a struct, up to the member that is written next. */
struct layout {
	uint64_t end;	/* in bits: the end of the members; for a union, of its longest */
	uint32_t align; /* in bytes: the natural alignment of its members */
	bool packed;	/* some member doesn't have that alignment */
};

/* Adds a member to the layout. If no struct can have the member where it is, stores the reason and returns false. */
static bool place(struct lbpf_btftext *t, struct layout *l, const struct btf_type *type, uint16_t i)
{
	const struct btf_member *m = btf_members(type) + i;
	uint32_t at = btf_member_bit_offset(type, i), bits = btf_member_bitfield_size(type, i);
	const char *name = m->name_off ? name_at(t, m->name_off) : "without a name", *what = NULL;
	int64_t size = btf__resolve_size(t->btf, m->type);
	int wish = btf__align_of(t->btf, m->type);
	uint32_t align = wish > 0 ? (uint32_t)wish : 1;
	uint64_t unit = 8 * (uint64_t)size, taken = bits ? bits : unit;

	if (size < 0)
		what = "has no size";
	else if (bits && bits > unit)
		what = "is a bit-field that is wider than its type";
	else if (!bits && at % 8)
		what = "begins within a byte";
	else if (btf_is_union(type) && at)
		what = "isn't at the start of the union";
	else if (!btf_is_union(type) && at < l->end)
		what = "overlaps the one before it";
	else if (at + taken > 8 * (uint64_t)type->size)
		what = "doesn't fit into its struct";
	if (what) {
		lbpf_btftext_fail(t, "member %s %s", name, what);
		return false;
	}
	l->packed |= bits ? at % unit + bits > unit : at % (8 * (uint64_t)align) != 0;
	l->align = align > l->align ? align : l->align;
	if (at + taken > l->end)
		l->end = at + taken;
	return true;
}

/* Adds unnamed bit-fields up to a bit. */
static void pad(struct lbpf_btftext *t, uint64_t from, uint64_t to, int level)
{
	for (; from < to && !t->err; from += to - from < 64 ? to - from : 64) {
		add_line(t, level);
		lbpf_btftext_add(t, "long long: %d;", to - from < 64 ? (int)(to - from) : 64);
	}
}

static void define_member(struct lbpf_btftext *t, const struct btf_type *type, uint16_t i, int level)
{
	const struct btf_member *m = btf_members(type) + i;
	uint32_t bits = btf_member_bitfield_size(type, i), inner = lbpf_btfdefine_which(t->btf, m->type);
	const struct btf_type *inner_type = btf__type_by_id(t->btf, inner);
	size_t start;

	add_line(t, level);
	start = t->len;
	lbpf_btftext_declaration(t, m->type, name_at(t, m->name_off), level);
	if (inner && !inner_type->name_off)
		lbpf_btfdefine(t, start, inner, level);
	if (bits)
		lbpf_btftext_add(t, ": %u", bits);
	lbpf_btftext_add(t, ";");
}

/* Adds a struct without members, which gives a union its size if that is more than a bit-field can be. */
static void add_space(struct lbpf_btftext *t, uint64_t bits, int level)
{
	add_line(t, level);
	lbpf_btftext_add(t, "struct {");
	pad(t, 0, bits, level + 1);
	add_line(t, level);
	lbpf_btftext_add(t, "} __attribute__((packed));");
}

/* Adds the end of a struct: the rest up to its size, by alignment if that gives the same size. */
static void define_end(struct lbpf_btftext *t, const struct btf_type *type, const struct layout *l, int level)
{
	uint64_t end = round_up(l->end, 8) / 8;
	uint32_t least = l->packed || type->size % l->align ? 1 : l->align, align = least;

	while (align < ALIGN_MAX && round_up(end, align) < type->size)
		align *= 2;
	if (round_up(end, align) != type->size) {
		align = least;
		if (btf_is_union(type) && type->size > 8)
			add_space(t, 8 * (uint64_t)type->size, level + 1);
		else
			pad(t, btf_is_union(type) ? 0 : l->end, 8 * (uint64_t)type->size, level + 1);
	}
	add_line(t, level);
	lbpf_btftext_add(t, "} __attribute__((packed))");
	if (align > 1)
		lbpf_btftext_add(t, " __attribute__((aligned(%u)))", align);
}

static void define_members(struct lbpf_btftext *t, const struct btf_type *type, int level)
{
	struct layout l = { .align = 1 };

	for (uint16_t i = 0; i < btf_vlen(type) && !t->err; i++) {
		uint64_t end = btf_member_bitfield_size(type, i) ? l.end : round_up(l.end, 8);

		if (place(t, &l, type, i) && !btf_is_union(type))
			pad(t, end, btf_member_bit_offset(type, i), level + 1);
		define_member(t, type, i, level + 1);
	}
	define_end(t, type, &l, level);
}

/* ---- in place of libbpf's ---- */

/* The end of the braces that begin at `text`, and of the attributes that libbpf writes after them. */
static const char *skip_braces(const char *text)
{
	static const char *const attributes[] = { " __attribute__((packed))", " __attribute__((mode(byte)))",
						  " __attribute__((mode(word)))" };
	int depth = 0;

	for (bool inside = true; *text && inside; text++) {
		depth += *text == '{' ? 1 : *text == '}' ? -1 : 0;
		inside = depth > 0;
	}
	for (size_t i = 0; i < sizeof(attributes) / sizeof(*attributes); i++) {
		size_t len = strlen(attributes[i]);

		if (strncmp(text, attributes[i], len) == 0)
			text += len;
	}
	return text;
}

void lbpf_btfdefine(struct lbpf_btftext *t, size_t start, uint32_t id, int level)
{
	const struct btf_type *type = btf__type_by_id(t->btf, id);
	const char *open = t->err ? NULL : strchr(t->text + start, '{');
	char *rest;

	if (!open)
		return;
	rest = strdup(skip_braces(open));
	if (!rest) {
		t->err = ENOMEM;
		return;
	}
	lbpf_btftext_cut(t, (size_t)(open - t->text) + 1);
	if (btf_is_any_enum(type))
		define_enum(t, type, level);
	else
		define_members(t, type, level);
	lbpf_btftext_add(t, "%s", rest);
	free(rest);
}
