/* SPDX-License-Identifier: MIT */
/* Declarators: everything around a name, from pointers to parameters. */
#include "cdecl/parse.h"

static uint32_t parse_suffix(struct lbpf_cparser *p, uint32_t base);

/* Adjusts a parameter's type: an array or function becomes a pointer. */
static uint32_t decay(struct lbpf_cparser *p, uint32_t i)
{
	uint32_t stripped = lbpf_ctype_strip(&p->t, i);

	if (p->t.type[stripped].kind == LBPF_C_ARRAY)
		return lbpf_ctype_ptr(&p->t, lbpf_cbtf_element(&p->t, stripped));
	return p->t.type[stripped].kind == LBPF_C_FUNC ? lbpf_ctype_ptr(&p->t, i) : i;
}

/* Parses a parameter. Returns false for the "void" that means no parameters. */
static bool parse_param(struct lbpf_cparser *p, uint32_t func)
{
	struct lbpf_cmember m = { .at = p->lex.tok.at };
	struct lbpf_cdeclarator d;
	struct lbpf_cspecs s;

	if (!lbpf_lex_accept(&p->lex, "...")) {
		lbpf_cparse_specs(p, &s, true);
		if (s.type == 0 && lbpf_lex_is(&p->lex, ")") && !p->t.type[func].first)
			return false;
		lbpf_cparse_declarator(p, s.type, &d);
		m.name = d.name;
		m.type = decay(p, d.type);
		if (lbpf_ctype_strip(&p->t, m.type) == 0)
			lbpf_lex_error(&p->lex, m.at, "a parameter of type void");
	} else if (!lbpf_lex_is(&p->lex, ")")) {
		lbpf_lex_expect(&p->lex, ")", "after '...'");
	}
	lbpf_ctype_add(&p->t, func, &m);
	return true;
}

/* Parses parameters. The token is "(". */
static uint32_t parse_params(struct lbpf_cparser *p, uint32_t result)
{
	uint32_t at = p->lex.tok.at, i = lbpf_ctype_strip(&p->t, result);

	if (p->t.type[i].kind == LBPF_C_ARRAY || p->t.type[i].kind == LBPF_C_FUNC)
		lbpf_lex_error(&p->lex, at, "a function can't return %s",
			       p->t.type[i].kind == LBPF_C_ARRAY ? "an array" : "a function");
	i = lbpf_ctype_new(&p->t, LBPF_C_FUNC, result, NULL);
	p->t.type[i].at = at;
	lbpf_lex_next(&p->lex);
	if (!lbpf_lex_is(&p->lex, ")"))
		while (parse_param(p, i) && lbpf_lex_accept(&p->lex, ","))
			;
	lbpf_lex_expect(&p->lex, ")", "after the parameters");
	return i;
}

static uint32_t parse_length(struct lbpf_cparser *p)
{
	uint32_t at = p->lex.tok.at;
	struct lbpf_cvalue n = lbpf_cexpr(p);

	if (!n.is_unsigned && (int64_t)n.v < 0)
		lbpf_lex_error(&p->lex, at, "the array's length is negative");
	if (n.v > INT32_MAX)
		lbpf_lex_error(&p->lex, at, "the array is larger than 2 GiB");
	return (uint32_t)n.v;
}

/* Parses the length of an array. The token is "[". Returns the number of elements; 0 for "[]", which also sets
 * *open. */
static uint32_t parse_dimension(struct lbpf_cparser *p, bool *open)
{
	uint32_t length;

	lbpf_lex_next(&p->lex);
	while (lbpf_cname_word(p) == LBPF_WORD_QUALIFIER || lbpf_lex_is(&p->lex, "static"))
		lbpf_lex_next(&p->lex);
	*open = lbpf_lex_is(&p->lex, "]");
	length = *open ? 0 : parse_length(p);
	lbpf_lex_expect(&p->lex, "]", "after the array's length");
	return length;
}

/* Parses the arrays and parameters after a name. `base` is the type of the elements, or the type that the function
 * returns. */
static uint32_t parse_suffix(struct lbpf_cparser *p, uint32_t base)
{
	uint32_t at = p->lex.tok.at, count;
	bool open;

	if (lbpf_lex_is(&p->lex, "(")) {
		lbpf_cparse_enter(p);
		base = parse_params(p, base);
		lbpf_cparse_leave(p);
		if (lbpf_lex_is(&p->lex, "(") || lbpf_lex_is(&p->lex, "["))
			lbpf_lex_error(&p->lex, p->lex.tok.at, "a function can't return %s",
				       lbpf_lex_is(&p->lex, "(") ? "a function" : "an array");
	} else if (lbpf_lex_is(&p->lex, "[")) {
		lbpf_cparse_enter(p);
		count = parse_dimension(p, &open);
		base = parse_suffix(p, base);
		lbpf_ctagged_complete(p, base);
		base = lbpf_ctype_array(&p->t, base, count, at);
		p->t.type[base].flexible = open;
		lbpf_cparse_leave(p);
	}
	return base;
}

static uint32_t parse_pointers(struct lbpf_cparser *p, uint32_t base)
{
	int levels = 0;

	while (lbpf_lex_is(&p->lex, "*")) {
		struct lbpf_cattrs a = { 0 };

		if (++levels > LBPF_CDECL_DEPTH)
			lbpf_lex_error(&p->lex, p->lex.tok.at, "nested more than %d levels deep", LBPF_CDECL_DEPTH);
		lbpf_lex_next(&p->lex);
		base = lbpf_ctype_ptr(&p->t, base);
		while (lbpf_cname_word(p) == LBPF_WORD_QUALIFIER || lbpf_cattr_is(p)) {
			if (lbpf_cattr_is(p))
				lbpf_cattrs(p, &a);
			else
				lbpf_lex_next(&p->lex);
		}
		if (a.last)
			p->t.type[base].align = a.last;
		base = lbpf_cparse_tagged(p, base, &a);
	}
	return base;
}

/* Whether the token "(" begins parameters rather than a declarator in parentheses. */
static bool starts_params(struct lbpf_cparser *p)
{
	struct lbpf_lex here = p->lex;
	bool params;

	lbpf_lex_next(&p->lex);
	params = lbpf_lex_is(&p->lex, ")") || lbpf_lex_is(&p->lex, "...") ||
		(!lbpf_cattr_is(p) && lbpf_cname_starts_type(p));
	p->lex = here;
	return params;
}

static void parse_declarator_inner(struct lbpf_cparser *p, uint32_t base, struct lbpf_cdeclarator *d)
{
	lbpf_cparse_enter(p);
	lbpf_cattrs(p, &d->attrs);
	base = parse_pointers(p, base);
	if (lbpf_lex_is(&p->lex, "(") && !starts_params(p)) {
		/* The part after the parentheses applies before the part inside: int (*a)[3]. */
		struct lbpf_lex inner = p->lex, after;

		lbpf_lex_skip_group(&p->lex);
		base = parse_suffix(p, base);
		after = p->lex;
		p->lex = inner;
		lbpf_lex_next(&p->lex);
		parse_declarator_inner(p, base, d);
		lbpf_lex_expect(&p->lex, ")", "after the declarator");
		p->lex = after;
	} else {
		if (lbpf_cname_is_free(p)) {
			d->at = p->lex.tok.at;
			d->name = lbpf_ctypes_name(&p->t);
			lbpf_lex_next(&p->lex);
		}
		d->type = parse_suffix(p, base);
	}
	lbpf_cparse_leave(p);
}

/* The declarator may have a name or not; the caller checks that. */
void lbpf_cparse_declarator(struct lbpf_cparser *p, uint32_t base, struct lbpf_cdeclarator *d)
{
	*d = (struct lbpf_cdeclarator){ .at = p->lex.tok.at };
	parse_declarator_inner(p, base, d);
	lbpf_cattrs(p, &d->attrs);
}

uint32_t lbpf_cparse_type_name(struct lbpf_cparser *p)
{
	struct lbpf_cdeclarator d;
	struct lbpf_cspecs s;

	lbpf_cparse_specs(p, &s, false);
	lbpf_cparse_declarator(p, s.type, &d);
	if (d.name)
		lbpf_lex_error(&p->lex, d.at, "'%s' is out of place here: a type without a name is wanted", d.name);
	return d.type;
}
