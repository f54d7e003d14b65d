/* SPDX-License-Identifier: MIT */
/* Constant expressions in C declarations: the lengths of arrays, the widths of bit-fields, the values of enumerators.
 * Values have the types that C gives them, int to unsigned long, because signs and sizes depend on these. */
#include "cdecl/parse.h"

static struct lbpf_cvalue unary(struct lbpf_cparser *p);

/* Reduces a value to the range of its type. */
static struct lbpf_cvalue fit(struct lbpf_cvalue a)
{
	if (!a.is_long)
		a.v = a.is_unsigned ? (uint32_t)a.v : (uint64_t)(int32_t)(uint32_t)a.v;
	return a;
}

static struct lbpf_cvalue truth(bool is_true)
{
	return (struct lbpf_cvalue){ .v = is_true };
}

static struct lbpf_cvalue size_value(uint64_t size)
{
	return (struct lbpf_cvalue){ .v = size, .is_unsigned = true, .is_long = sizeof(size_t) == 8 };
}

static struct lbpf_cvalue cast(struct lbpf_cparser *p, uint32_t i, struct lbpf_cvalue a, uint32_t at)
{
	const struct lbpf_ctype *type;
	bool is_unsigned;

	lbpf_ctagged_need(p, i, at, "the type");
	type = &p->t.type[lbpf_ctype_strip(&p->t, i)];
	is_unsigned = !lbpf_ctype_is_signed(type);
	if (lbpf_ctype_is_bool(type))
		return truth(a.v != 0);
	if ((type->kind != LBPF_C_INT && type->kind != LBPF_C_ENUM) || type->size > 8)
		lbpf_lex_error(&p->lex, at, "constants can be cast to integers of up to 64 bits only");
	if (type->size < 4) {
		unsigned int unused = 64 - 8 * type->size;

		a.v = is_unsigned ? a.v << unused >> unused : (uint64_t)((int64_t)(a.v << unused) >> unused);
		is_unsigned = false;
	}
	return fit((struct lbpf_cvalue){ a.v, is_unsigned, type->size == 8 });
}

static struct lbpf_cvalue named_constant(struct lbpf_cparser *p)
{
	const char *name = lbpf_ctypes_name(&p->t);
	uint32_t member = lbpf_cname_get(p, p->consts, name);
	struct lbpf_cvalue value;

	if (member)
		value = lbpf_cmember_value(&p->t.member[member]);
	else if (!lbpf_cname_is_free(p) || !lbpf_cbtf_find_enumerator(&p->t, name, &value))
		lbpf_lex_error(&p->lex, p->lex.tok.at, "expected a constant, but %s is no enumerator known here",
			       lbpf_lex_quote(&p->lex));
	lbpf_lex_next(&p->lex);
	return value;
}

/* Parses the "(type)" of sizeof and _Alignof. */
static struct lbpf_cvalue size_of(struct lbpf_cparser *p, bool align)
{
	uint32_t at, type;

	lbpf_lex_next(&p->lex);
	lbpf_lex_expect(&p->lex, "(", "and a type");
	at = p->lex.tok.at;
	type = lbpf_cparse_type_name(p);
	lbpf_ctagged_need(p, type, at, "the type");
	lbpf_lex_expect(&p->lex, ")", "after the type");
	return size_value(align ? lbpf_ctype_align(&p->t, type) : lbpf_ctype_size(&p->t, type));
}

static struct lbpf_cvalue primary(struct lbpf_cparser *p)
{
	struct lbpf_cvalue value;

	if (p->lex.tok.kind == LBPF_TOKEN_NUMBER || p->lex.tok.kind == LBPF_TOKEN_CHAR) {
		value = lbpf_lex_value(&p->lex);
		lbpf_lex_next(&p->lex);
		return value;
	}
	if (lbpf_lex_is(&p->lex, "sizeof"))
		return size_of(p, false);
	if (lbpf_lex_is(&p->lex, "_Alignof") || lbpf_lex_is(&p->lex, "__alignof__"))
		return size_of(p, true);
	if (p->lex.tok.kind == LBPF_TOKEN_NAME)
		return named_constant(p);
	if (!lbpf_lex_accept(&p->lex, "("))
		lbpf_lex_error(&p->lex, p->lex.tok.at, "expected a constant, got %s", lbpf_lex_quote(&p->lex));
	if (lbpf_cname_starts_type(p)) {
		uint32_t at = p->lex.tok.at, type = lbpf_cparse_type_name(p);

		lbpf_lex_expect(&p->lex, ")", "after the type");
		return cast(p, type, unary(p), at);
	}
	value = lbpf_cexpr(p);
	lbpf_lex_expect(&p->lex, ")", "after the expression");
	return value;
}

static struct lbpf_cvalue unary(struct lbpf_cparser *p)
{
	struct lbpf_cvalue a;

	lbpf_cparse_enter(p);
	if (lbpf_lex_accept(&p->lex, "!")) {
		a = truth(unary(p).v == 0);
	} else if (lbpf_lex_accept(&p->lex, "~")) {
		a = unary(p);
		a.v = ~a.v;
	} else if (lbpf_lex_accept(&p->lex, "-")) {
		a = unary(p);
		a.v = -a.v;
	} else if (lbpf_lex_accept(&p->lex, "+")) {
		a = unary(p);
	} else {
		a = primary(p);
	}
	lbpf_cparse_leave(p);
	return fit(a);
}

static const struct {
	const char *op;
	int level;
} operators[] = {
	{ "||", 1 }, { "&&", 2 }, { "|", 3 }, { "^", 4 },  { "&", 5 },	{ "==", 6 },
	{ "!=", 6 }, { "<", 7 },  { ">", 7 }, { "<=", 7 }, { ">=", 7 }, { "<<", 8 },
	{ ">>", 8 }, { "+", 9 },  { "-", 9 }, { "*", 10 }, { "/", 10 }, { "%", 10 },
};

static struct lbpf_cvalue shift(struct lbpf_cparser *p, bool left, struct lbpf_cvalue a, struct lbpf_cvalue b,
				uint32_t at)
{
	if (b.v >= (a.is_long ? 64 : 32)) {
		if (!p->unevaluated)
			lbpf_lex_error(&p->lex, at, "this shift is not by 0 to %d bits", a.is_long ? 63 : 31);
		return a;
	}
	if (left)
		a.v <<= b.v;
	else
		a.v = a.is_unsigned ? a.v >> b.v : (uint64_t)((int64_t)a.v >> b.v);
	return fit(a);
}

static struct lbpf_cvalue divide(struct lbpf_cparser *p, bool quotient, struct lbpf_cvalue a, struct lbpf_cvalue b,
				 uint32_t at)
{
	if (b.v == 0) {
		if (!p->unevaluated)
			lbpf_lex_error(&p->lex, at, "division by zero");
	} else if (a.is_unsigned) {
		a.v = quotient ? a.v / b.v : a.v % b.v;
	} else if (b.v == UINT64_MAX) {
		a.v = quotient ? -a.v : 0;
	} else {
		a.v = (uint64_t)(quotient ? (int64_t)a.v / (int64_t)b.v : (int64_t)a.v % (int64_t)b.v);
	}
	return fit(a);
}

static struct lbpf_cvalue compare(const char *op, struct lbpf_cvalue a, struct lbpf_cvalue b)
{
	bool less = a.is_unsigned ? a.v < b.v : (int64_t)a.v < (int64_t)b.v, same = a.v == b.v;

	switch (op[0]) {
	case '=':
		return truth(same);
	case '!':
		return truth(!same);
	case '<':
		return truth(less || (op[1] && same));
	default:
		return truth(!less && (op[1] || !same));
	}
}

static struct lbpf_cvalue operate(struct lbpf_cparser *p, const char *op, struct lbpf_cvalue a, struct lbpf_cvalue b,
				  uint32_t at)
{
	struct lbpf_cvalue to = { 0 };

	if (op[0] == op[1] && (op[0] == '<' || op[0] == '>'))
		return shift(p, op[0] == '<', a, b, at);
	/* Converts both values to the wider type, or to the unsigned one if the types are equally wide. */
	to.is_long = a.is_long || b.is_long;
	to.is_unsigned = (a.is_unsigned && a.is_long == to.is_long) || (b.is_unsigned && b.is_long == to.is_long);
	a = fit((struct lbpf_cvalue){ a.v, to.is_unsigned, to.is_long });
	b = fit((struct lbpf_cvalue){ b.v, to.is_unsigned, to.is_long });
	switch (op[0]) {
	case '*':
		a.v *= b.v;
		return fit(a);
	case '/':
	case '%':
		return divide(p, op[0] == '/', a, b, at);
	case '+':
		a.v += b.v;
		return fit(a);
	case '-':
		a.v -= b.v;
		return fit(a);
	case '&':
		a.v &= b.v;
		return a;
	case '|':
		a.v |= b.v;
		return a;
	case '^':
		a.v ^= b.v;
		return a;
	default:
		return compare(op, a, b);
	}
}

static struct lbpf_cvalue binary(struct lbpf_cparser *p, int level)
{
	struct lbpf_cvalue a = unary(p), b;

	for (;;) {
		uint32_t at = p->lex.tok.at;
		size_t i = 0;
		bool skip;

		while (i < LBPF_COUNT(operators) &&
		       !(operators[i].level >= level && lbpf_lex_is(&p->lex, operators[i].op)))
			i++;
		if (i == LBPF_COUNT(operators))
			return a;
		lbpf_lex_next(&p->lex);
		skip = operators[i].level <= 2 && (operators[i].level == 1) == (a.v != 0);
		p->unevaluated += skip;
		b = binary(p, operators[i].level + 1);
		p->unevaluated -= skip;
		if (operators[i].level == 1)
			a = truth(a.v || b.v);
		else if (operators[i].level == 2)
			a = truth(a.v && b.v);
		else
			a = operate(p, operators[i].op, a, b, at);
	}
}

struct lbpf_cvalue lbpf_cexpr(struct lbpf_cparser *p)
{
	struct lbpf_cvalue a, b, c;

	lbpf_cparse_enter(p);
	c = binary(p, 1);
	if (lbpf_lex_accept(&p->lex, "?")) {
		bool first = c.v != 0;

		p->unevaluated += !first;
		a = lbpf_cexpr(p);
		p->unevaluated -= !first;
		lbpf_lex_expect(&p->lex, ":", "of '?:'");
		p->unevaluated += first;
		b = lbpf_cexpr(p);
		p->unevaluated -= first;
		c.is_long = a.is_long || b.is_long;
		c.is_unsigned = (a.is_unsigned && a.is_long == c.is_long) || (b.is_unsigned && b.is_long == c.is_long);
		c.v = first ? a.v : b.v;
		c = fit(c);
	}
	lbpf_cparse_leave(p);
	return c;
}
