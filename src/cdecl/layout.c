/* SPDX-License-Identifier: MIT */
/* The places of struct members and the sizes of enums, as gcc computes them: by the System V ABI and by attributes. */
#include "cdecl/types.h"

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

/* Whether unnamed bit-fields contribute to the struct's alignment. */
#if defined(__aarch64__) || defined(__arm__)
#define UNNAMED_ALIGN true
#else
#define UNNAMED_ALIGN false
#endif

/* If the width of a bit-field is that of an ordinary integer type, and the bit-field happens to lie where a member of
 * this type could, gcc treats it as such a member. Returns the alignment of this type, or 0. The difference matters
 * only for a type with aligned(). */
static uint64_t ordinary_align(const struct layout *l, const struct lbpf_cmember *m, bool packed)
{
	uint64_t align = 8 * (uint64_t)lbpf_ctype_scalar_align(m->bits / 8, false);

	if (m->bits < 8 || m->bits & (m->bits - 1))
		return 0;
	return (packed && align > 8) || (!l->is_union && l->pos % align) ? 0 : align;
}

static void place_bitfield(struct layout *l, struct lbpf_cmember *m, uint64_t size, uint64_t align)
{
	bool packed = l->packed || m->packed;
	uint64_t wanted = m->align * 8, ordinary = 0;

	if (m->bits == 0) {
		/* A bit-field of width 0 moves the next member to where one of its type could start, also in a packed
		 * struct. */
		wanted = max(wanted, align);
		packed = false;
	} else {
		ordinary = ordinary_align(l, m, packed);
		wanted = max(wanted, ordinary);
	}
	if (m->name || UNNAMED_ALIGN)
		l->align = max(l->align, max(wanted, packed ? 8 : align));
	if (l->is_union)
		return;
	if (wanted)
		l->pos = round_up(l->pos, wanted);
	/* A bit-field may not reach into more units of its type's alignment than its type has. */
	if (!packed && !ordinary && (l->pos % align + m->bits + align - 1) / align > size / align)
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
	uint64_t size = 8 * (uint64_t)lbpf_ctype_size(t, m->type);
	uint64_t align = max(8, 8 * (uint64_t)lbpf_ctype_align(t, m->type));

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
	if (*end / 8 > LBPF_CTYPE_MAX_SIZE)
		lbpf_lex_error(t->lex, m->at, "with this member the struct is larger than 2 GiB");
}

void lbpf_clayout_struct(struct lbpf_ctypes *t, uint32_t i, bool packed, uint32_t align)
{
	struct layout l = { .align = align ? align * 8 : 8,
			    .is_union = t->type[i].kind == LBPF_C_UNION,
			    .packed = packed };
	uint64_t end = 0;

	for (uint32_t m = t->type[i].first; m; m = t->member[m].next)
		place(t, &l, &t->member[m], &end);
	end = round_up(end, l.align) / 8;
	if (end > LBPF_CTYPE_MAX_SIZE)
		lbpf_lex_error(t->lex, t->member[t->type[i].last].at,
			       "with this member the struct is larger than 2 GiB");
	t->type[i].size = (uint32_t)end;
	t->type[i].align = (uint32_t)(l.align / 8);
	t->type[i].complete = true;
	t->type[i].open = false;
}

/* The type of an enum is int or unsigned int if that holds all enumerators, otherwise long or unsigned long. If it is
 * packed, it is the smallest type that does; or it has the size that was asked for. gcc ignores aligned() here. */
bool lbpf_clayout_enum(struct lbpf_ctypes *t, uint32_t i, bool packed, uint32_t wanted)
{
	uint64_t highest = 0, size = wanted ? wanted : packed ? 1 : 4;
	int64_t lowest = 0;

	for (uint32_t m = t->type[i].first; m; m = t->member[m].next) {
		if (!t->member[m].negative)
			highest = max(highest, t->member[m].value);
		else if ((int64_t)t->member[m].value < lowest)
			lowest = (int64_t)t->member[m].value;
	}
	/* The bits that the lowest value needs besides its sign, so that one limit applies to lowest and highest. */
	if (lowest < 0 && highest < (uint64_t)~lowest)
		highest = (uint64_t)~lowest;
	if (lowest < 0 && highest > INT64_MAX)
		return false;
	while (size < 8 && highest >> (8 * size - (lowest < 0)))
		size *= 2;
	if (wanted && size != wanted)
		return false;
	t->type[i].size = (uint32_t)size;
	t->type[i].align = lbpf_ctype_scalar_align((uint32_t)size, false);
	t->type[i].is_signed = lowest < 0;
	t->type[i].complete = true;
	t->type[i].open = false;
	return true;
}
