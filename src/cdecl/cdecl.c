/* SPDX-License-Identifier: MIT */
/* Parses C declarations into BTF: specifiers, and declarations with their declarators.
 *
 * The parser builds types in a table (types.h). The table is written to the BTF once the whole text has been parsed.
 * All memory is on the C stack or in userdata on the Lua stack, so that an error frees it. */
#include "cdecl/cdecl.h"

#include <string.h>

#include <lauxlib.h>

#include "cdecl/parse.h"

#define CDECL_MAX_ALIASES 30

void lbpf_cparse_enter(struct lbpf_cparser *p)
{
	if (++p->depth > LBPF_CDECL_DEPTH)
		lbpf_lex_error(&p->lex, p->lex.tok.at, "nested more than %d levels deep", LBPF_CDECL_DEPTH);
}

void lbpf_cparse_leave(struct lbpf_cparser *p)
{
	p->depth--;
}

/* ---- specifiers: all that is left of a declarator ---- */

static const struct {
	uint32_t words;
	enum lbpf_cbase base, unsigned_base; /* LBPF_BASES: no such type */
} bases[] = {
	{ 0, LBPF_BASE_INT, LBPF_BASE_UINT },
	{ LBPF_WORD_INT, LBPF_BASE_INT, LBPF_BASE_UINT },
	{ LBPF_WORD_SHORT, LBPF_BASE_SHORT, LBPF_BASE_USHORT },
	{ LBPF_WORD_SHORT + LBPF_WORD_INT, LBPF_BASE_SHORT, LBPF_BASE_USHORT },
	{ LBPF_WORD_LONG, LBPF_BASE_LONG, LBPF_BASE_ULONG },
	{ LBPF_WORD_LONG + LBPF_WORD_INT, LBPF_BASE_LONG, LBPF_BASE_ULONG },
	{ 2 * LBPF_WORD_LONG, LBPF_BASE_LLONG, LBPF_BASE_ULLONG },
	{ 2 * LBPF_WORD_LONG + LBPF_WORD_INT, LBPF_BASE_LLONG, LBPF_BASE_ULLONG },
	{ LBPF_WORD_INT128, LBPF_BASE_INT128, LBPF_BASE_UINT128 },
	{ LBPF_WORD_CHAR, LBPF_BASE_CHAR, LBPF_BASE_UCHAR },
	{ LBPF_WORD_BOOL, LBPF_BASE_BOOLEAN, LBPF_BASES },
	{ LBPF_WORD_FLOAT, LBPF_BASE_FLOAT, LBPF_BASES },
	{ LBPF_WORD_DOUBLE, LBPF_BASE_DOUBLE, LBPF_BASES },
	{ LBPF_WORD_DOUBLE + LBPF_WORD_LONG, LBPF_BASE_LDOUBLE, LBPF_BASES },
};

static uint32_t base_of_words(struct lbpf_cparser *p, uint32_t all, uint32_t at)
{
	const uint32_t signs = LBPF_WORD_SIGNED | LBPF_WORD_UNSIGNED;
	uint32_t sign = all & signs, rest = all & ~signs;

	if (all == LBPF_WORD_VOID)
		return 0;
	for (size_t i = 0; i < LBPF_COUNT(bases); i++) {
		enum lbpf_cbase base = sign == LBPF_WORD_UNSIGNED ? bases[i].unsigned_base : bases[i].base;

		if (bases[i].words != rest || (sign && sign != LBPF_WORD_SIGNED && sign != LBPF_WORD_UNSIGNED))
			continue;
		if (sign && bases[i].unsigned_base == LBPF_BASES)
			break;
		return lbpf_ctype_base(&p->t,
				       sign == LBPF_WORD_SIGNED && rest == LBPF_WORD_CHAR ? LBPF_BASE_SCHAR : base);
	}
	lbpf_lex_error(&p->lex, at, "these words don't make a type");
}

static void add_word(struct lbpf_cparser *p, uint32_t *all, uint32_t w)
{
	if (*all & (w == LBPF_WORD_LONG ? 2 * LBPF_WORD_LONG : w))
		lbpf_lex_error(&p->lex, p->lex.tok.at, "%s is one too many in a type", lbpf_lex_quote(&p->lex));
	*all += w;
	lbpf_lex_next(&p->lex);
}

/* Parses a storage class or qualifier. Returns whether the token was one. */
static bool parse_storage(struct lbpf_cparser *p, struct lbpf_cspecs *s, uint32_t w, bool storage)
{
	if (w == LBPF_WORD_STORAGE) {
		if (!storage)
			lbpf_lex_error(&p->lex, p->lex.tok.at, "%s is out of place here", lbpf_lex_quote(&p->lex));
		s->is_typedef |= lbpf_lex_is(&p->lex, "typedef");
	} else if (w != LBPF_WORD_QUALIFIER) {
		return false;
	}
	lbpf_lex_next(&p->lex);
	return true;
}

/* The type that the token is an alias of, or 0. */
static uint32_t find_typedef(struct lbpf_cparser *p)
{
	return lbpf_cname_is_free(p) ? lbpf_cname_typedef(p, lbpf_ctypes_name(&p->t), true) : 0;
}

uint32_t lbpf_cparse_tagged(struct lbpf_cparser *p, uint32_t type, const struct lbpf_cattrs *a)
{
	uint32_t i;

	if (!a->tag)
		return type;
	i = lbpf_ctype_new(&p->t, LBPF_C_TAGGED, type, a->tag);
	p->t.type[i].aliases = (uint8_t)(p->t.type[type].aliases + 1);
	return i;
}

void lbpf_cparse_specs(struct lbpf_cparser *p, struct lbpf_cspecs *s, bool storage)
{
	bool found = false;
	uint32_t all = 0;

	*s = (struct lbpf_cspecs){ .at = p->lex.tok.at };
	for (;;) {
		uint32_t w = lbpf_cname_word(p);

		if (lbpf_cattr_is(p)) {
			lbpf_cattrs(p, &s->attrs);
		} else if (parse_storage(p, s, w, storage)) {
			continue;
		} else if (w >= LBPF_WORD_VOID && !found) {
			add_word(p, &all, w);
		} else if (w == LBPF_WORD_TAG && !found && !all) {
			s->type = lbpf_ctagged(p, &s->defines);
			s->is_tagged = found = true;
		} else if (!w && !found && !all && (s->type = find_typedef(p))) {
			lbpf_lex_next(&p->lex);
			found = true;
		} else {
			break;
		}
	}
	if (all)
		s->type = base_of_words(p, all, s->at);
	else if (!found)
		lbpf_cname_unknown_type(p);
	s->type = lbpf_cparse_tagged(p, s->type, &s->attrs);
}

/* ---- declarations ---- */

static uint32_t define_typedef(struct lbpf_cparser *p, const struct lbpf_cdeclarator *d, uint32_t align)
{
	uint32_t old = lbpf_cname_typedef(p, d->name, false), i;
	int aliases = p->t.type[d->type].aliases + 1;

	if (lbpf_cname_get(p, p->consts, d->name))
		lbpf_lex_error(&p->lex, d->at, "'%s' is the name of an enumerator", d->name);
	if (old) {
		if (!lbpf_ctype_equal(&p->t, old, d->type))
			lbpf_lex_error(&p->lex, d->at, "'%s' is defined already, as another type", d->name);
		return old;
	}
	if (aliases > CDECL_MAX_ALIASES)
		lbpf_lex_error(&p->lex, d->at, "more than %d typedefs of typedefs", CDECL_MAX_ALIASES);
	i = lbpf_ctype_new(&p->t, LBPF_C_TYPEDEF, d->type, d->name);
	p->t.type[i].align = align;
	p->t.type[i].aliases = (uint8_t)aliases;
	lbpf_cname_set(p, p->typedefs, d->name, i);
	return i;
}

static uint32_t parse_declared(struct lbpf_cparser *p, const struct lbpf_cspecs *s)
{
	struct lbpf_cdeclarator d;
	uint32_t type;

	lbpf_cparse_declarator(p, s->type, &d);
	type = d.type;
	if (s->is_typedef) {
		if (!d.name)
			lbpf_lex_error(&p->lex, p->lex.tok.at, "expected the typedef's name, got %s",
				       lbpf_lex_quote(&p->lex));
		type = define_typedef(p, &d, s->attrs.last ? s->attrs.last : d.attrs.last);
	}
	if (lbpf_lex_is(&p->lex, "="))
		lbpf_lex_error(&p->lex, p->lex.tok.at, "initialisers are not allowed");
	if (lbpf_lex_is(&p->lex, "{") && p->t.type[type].kind == LBPF_C_FUNC)
		lbpf_lex_error(&p->lex, p->lex.tok.at, "function definitions are not understood");
	return type;
}

/* Returns the type of its last declarator, or the one it defines. */
static uint32_t parse_declaration(struct lbpf_cparser *p)
{
	struct lbpf_cspecs s;
	uint32_t type;

	lbpf_cparse_specs(p, &s, true);
	type = s.type;
	if (s.is_tagged && lbpf_lex_is(&p->lex, ";"))
		p->t.type[lbpf_ctype_strip(&p->t, type)].declared = true;
	if (s.is_typedef || (!lbpf_lex_is(&p->lex, ";") && p->lex.tok.kind != LBPF_TOKEN_END)) {
		do
			type = parse_declared(p, &s);
		while (lbpf_lex_accept(&p->lex, ","));
	}
	if (p->lex.tok.kind != LBPF_TOKEN_END)
		lbpf_lex_expect(&p->lex, ";", "after the declaration");
	return type;
}

bool lbpf_cdecl_is_builtin(const char *name)
{
	return lbpf_cname_is_builtin(name);
}

static void check_function_part(struct lbpf_cparser *p, uint32_t type, uint32_t at, const char *what)
{
	uint32_t i = lbpf_ctype_strip(&p->t, type);

	if (i && !p->t.type[i].declared)
		lbpf_ctagged_need(p, type, at, what);
}

/* Checks parameters and results of functions last: a struct that is passed by value may be defined after the function,
 * or only be declared. */
static void check_functions(struct lbpf_cparser *p)
{
	for (uint32_t i = 1; i < p->t.types; i++) {
		const struct lbpf_ctype func = p->t.type[i];

		if (func.kind != LBPF_C_FUNC || func.imported)
			continue;
		check_function_part(p, func.ref, func.at, "the result");
		for (uint32_t m = func.first; m; m = p->t.member[m].next)
			check_function_part(p, p->t.member[m].type, p->t.member[m].at, "the parameter");
	}
}

/* Leaves the parser's tables on the Lua stack. */
static void begin(struct lbpf_cparser *p, lua_State *L, struct btf *btf, const char *text, size_t len)
{
	*p = (struct lbpf_cparser){ .L = L };
	luaL_checkstack(L, 20, NULL);
	lbpf_lex_begin(&p->lex, L, text, len);
	lbpf_ctypes_begin(&p->t, &p->lex, btf);
	lua_newtable(L);
	lua_newtable(L);
	lua_newtable(L);
	p->consts = lua_gettop(L);
	p->typedefs = p->consts - 1;
	p->tags = p->consts - 2;
}

static void skip_semicolons(struct lbpf_cparser *p)
{
	while (lbpf_lex_accept(&p->lex, ";"))
		;
}

int lbpf_cdecl(lua_State *L, struct btf *btf, const char *text, size_t len)
{
	struct lbpf_cparser p;
	int top = lua_gettop(L);
	uint32_t type = 0, at = 0, id;

	begin(&p, L, btf, text, len);
	skip_semicolons(&p);
	if (p.lex.tok.kind == LBPF_TOKEN_END)
		lbpf_lex_error(&p.lex, p.lex.tok.at, "expected a declaration, got the end");
	while (p.lex.tok.kind != LBPF_TOKEN_END) {
		at = p.lex.tok.at;
		type = parse_declaration(&p);
		skip_semicolons(&p);
	}
	lbpf_ctagged_need(&p, type, at, "the last declaration");
	check_functions(&p);
	lbpf_cbtf_write(&p.t);
	id = p.t.type[type].id;
	lua_settop(L, top);
	return (int)id;
}

/* The piece that contains a position of the text, from piece k on. */
static uint32_t piece_at(const struct lbpf_cpieces *pieces, uint32_t k, uint32_t at)
{
	while (k < pieces->count && pieces->piece[k].end <= at)
		k++;
	return k;
}

struct pieces_call {
	struct btf *btf;
	const char *text;
	size_t len;
	struct lbpf_cpieces *pieces;
	uint32_t failed; /* position in the text */
};

/* Until all types are written, the ids of pieces are numbers of types in the table. */
static int parse_pieces(lua_State *L)
{
	struct pieces_call *call = lua_touserdata(L, 1);
	struct lbpf_cpieces *pieces = call->pieces;
	struct lbpf_cparser p;
	uint32_t k = 0;

	begin(&p, L, call->btf, call->text, call->len);
	p.lex.failed = &call->failed;
	for (skip_semicolons(&p); p.lex.tok.kind != LBPF_TOKEN_END; skip_semicolons(&p)) {
		uint32_t type;

		k = piece_at(pieces, k, p.lex.tok.at);
		type = parse_declaration(&p);
		if (k < pieces->count)
			pieces->piece[k].id = type;
	}
	check_functions(&p);
	lbpf_cbtf_write(&p.t);
	for (k = 0; k < pieces->count; k++)
		pieces->piece[k].id = p.t.type[pieces->piece[k].id].id;
	return 0;
}

bool lbpf_cdecl_pieces(lua_State *L, struct btf *btf, const char *text, size_t len, struct lbpf_cpieces *pieces)
{
	struct pieces_call call = { btf, text, len, pieces, UINT32_MAX };

	for (uint32_t k = 0; k < pieces->count; k++)
		pieces->piece[k].id = 0;
	lua_pushcfunction(L, parse_pieces);
	lua_pushlightuserdata(L, &call);
	if (lua_pcall(L, 1, 0, 0) == LUA_OK)
		return true;
	pieces->failed = piece_at(pieces, 0, call.failed);
	return false;
}
