/* SPDX-License-Identifier: MIT */
/* Attributes in C declarations: those that change a layout, and type tags. Others are skipped. */
#include "cdecl/parse.h"

#define MAX_ALIGN (1u << 28)

bool lbpf_cattr_is(const struct lbpf_cparser *p)
{
	return lbpf_cname_word(p) == LBPF_WORD_ATTRIBUTE;
}

/* Parses the "(n)" of aligned(n); without it, the alignment is the largest there is. _Alignas may also have a type, or
 * 0, which changes nothing. */
static void parse_aligned(struct lbpf_cparser *p, struct lbpf_cattrs *a, bool aligned_as)
{
	uint32_t at = p->lex.tok.at;
	struct lbpf_cvalue n = { .v = __BIGGEST_ALIGNMENT__ };

	if (lbpf_lex_accept(&p->lex, "(")) {
		at = p->lex.tok.at;
		if (aligned_as && lbpf_cname_starts_type(p)) {
			uint32_t type = lbpf_cparse_type_name(p);

			lbpf_ctagged_need(p, type, at, "the type");
			n.v = lbpf_ctype_align(&p->t, type);
		} else {
			n = lbpf_cexpr(p);
		}
		lbpf_lex_expect(&p->lex, ")", "after the alignment");
	}
	if (n.v == 0 && aligned_as)
		return;
	if (n.v == 0 || n.v & (n.v - 1) || n.v > MAX_ALIGN)
		lbpf_lex_error(&p->lex, at, "an alignment must be a power of two up to %d", (int)MAX_ALIGN);
	a->last = (uint32_t)n.v;
	a->strictest = a->last > a->strictest ? a->last : a->strictest;
	if (aligned_as)
		a->aligned_as = a->last > a->aligned_as ? a->last : a->aligned_as;
}

/* Parses the "(\"name\")" of a type tag. */
static void parse_type_tag(struct lbpf_cparser *p, struct lbpf_cattrs *a)
{
	lbpf_lex_expect(&p->lex, "(", "after 'btf_type_tag'");
	if (p->lex.tok.kind != LBPF_TOKEN_STRING)
		lbpf_lex_error(&p->lex, p->lex.tok.at, "expected a string, got %s", lbpf_lex_quote(&p->lex));
	p->lex.tok.at++;
	p->lex.tok.end--;
	a->tag = lbpf_ctypes_name(&p->t);
	p->lex.tok.end++;
	if (!*a->tag)
		lbpf_lex_error(&p->lex, p->lex.tok.at, "the tag is empty");
	lbpf_lex_next(&p->lex);
	lbpf_lex_expect(&p->lex, ")", "after the tag");
}

/* Parses the "(word)" of mode(word). */
static void parse_mode(struct lbpf_cparser *p, struct lbpf_cattrs *a)
{
	static const struct {
		const char *name;
		uint8_t size;
	} modes[] = {
		{ "byte", 1 },
		{ "__byte__", 1 },
		{ "QI", 1 },
		{ "__QI__", 1 },
		{ "HI", 2 },
		{ "__HI__", 2 },
		{ "SI", 4 },
		{ "__SI__", 4 },
		{ "DI", 8 },
		{ "__DI__", 8 },
		{ "word", sizeof(long) },
		{ "__word__", sizeof(long) },
		{ "pointer", sizeof(long) },
		{ "__pointer__", sizeof(long) },
	};
	size_t i = 0;

	lbpf_lex_expect(&p->lex, "(", "after 'mode'");
	while (i < LBPF_COUNT(modes) && !lbpf_lex_is(&p->lex, modes[i].name))
		i++;
	if (i == LBPF_COUNT(modes))
		lbpf_lex_error(&p->lex, p->lex.tok.at, "%s is no mode that is understood", lbpf_lex_quote(&p->lex));
	a->mode = modes[i].size;
	lbpf_lex_next(&p->lex);
	lbpf_lex_expect(&p->lex, ")", "after the mode");
}

static void parse_attribute(struct lbpf_cparser *p, struct lbpf_cattrs *a)
{
	static const char *const layouts[] = { "mode",	   "vector_size",     "ext_vector_type",     "ms_struct",
					       "__mode__", "__vector_size__", "scalar_storage_order" };

	if (a->of_enum && (lbpf_lex_accept(&p->lex, "mode") || lbpf_lex_accept(&p->lex, "__mode__"))) {
		parse_mode(p, a);
		return;
	}

	for (size_t i = 0; i < LBPF_COUNT(layouts); i++)
		if (lbpf_lex_is(&p->lex, layouts[i]))
			lbpf_lex_error(&p->lex, p->lex.tok.at, "the attribute '%s' is not understood", layouts[i]);
	if (lbpf_lex_accept(&p->lex, "packed") || lbpf_lex_accept(&p->lex, "__packed__")) {
		a->packed = true;
	} else if (lbpf_lex_accept(&p->lex, "aligned") || lbpf_lex_accept(&p->lex, "__aligned__")) {
		parse_aligned(p, a, false);
	} else if (lbpf_lex_accept(&p->lex, "btf_type_tag")) {
		parse_type_tag(p, a);
	} else if (p->lex.tok.kind == LBPF_TOKEN_NAME) {
		lbpf_lex_next(&p->lex);
		if (lbpf_lex_is(&p->lex, "("))
			lbpf_lex_skip_group(&p->lex);
	}
}

/* __attribute__((a, b(c))) */
static void parse_attribute_list(struct lbpf_cparser *p, struct lbpf_cattrs *a)
{
	lbpf_lex_next(&p->lex);
	lbpf_lex_expect(&p->lex, "(", "after '__attribute__'");
	lbpf_lex_expect(&p->lex, "(", "after '__attribute__('");
	do
		parse_attribute(p, a);
	while (lbpf_lex_accept(&p->lex, ","));
	lbpf_lex_expect(&p->lex, ")", "after the attribute");
	lbpf_lex_expect(&p->lex, ")", "after the attribute");
}

void lbpf_cattrs(struct lbpf_cparser *p, struct lbpf_cattrs *a)
{
	while (lbpf_cattr_is(p)) {
		bool aligned_as = lbpf_lex_is(&p->lex, "_Alignas");

		if (lbpf_lex_is(&p->lex, "__attribute__") || lbpf_lex_is(&p->lex, "__attribute")) {
			parse_attribute_list(p, a);
		} else if (lbpf_lex_accept(&p->lex, "__packed")) {
			a->packed = true;
		} else if (aligned_as || lbpf_lex_is(&p->lex, "__aligned")) {
			lbpf_lex_next(&p->lex);
			if (!lbpf_lex_is(&p->lex, "("))
				lbpf_lex_expect(&p->lex, "(", aligned_as ? "after '_Alignas'" : "after '__aligned'");
			parse_aligned(p, a, aligned_as);
		} else {
			/* As in libbpf's bpf_helpers.h: "__kptr" is the tag "kptr". */
			a->tag = lbpf_ctypes_name(&p->t) + 2;
			lbpf_lex_next(&p->lex);
		}
	}
}
