/* SPDX-License-Identifier: MIT */
/* Names in C declarations: words of the language, built-in types, and what a text and its BTF have declared. */
#include "cdecl/parse.h"

#include <stdarg.h>
#include <string.h>

#include "base/distance.h"

static const struct {
	const char *name;
	enum lbpf_cbase base;
} builtins[] = {
	{ "__u8", LBPF_BASE_UCHAR },	    { "__u16", LBPF_BASE_USHORT },
	{ "__u32", LBPF_BASE_UINT },	    { "__u64", LBPF_BASE_ULLONG },
	{ "__s8", LBPF_BASE_SCHAR },	    { "__s16", LBPF_BASE_SHORT },
	{ "__s32", LBPF_BASE_INT },	    { "__s64", LBPF_BASE_LLONG },
	{ "u8", LBPF_BASE_UCHAR },	    { "u16", LBPF_BASE_USHORT },
	{ "u32", LBPF_BASE_UINT },	    { "u64", LBPF_BASE_ULLONG },
	{ "s8", LBPF_BASE_SCHAR },	    { "s16", LBPF_BASE_SHORT },
	{ "s32", LBPF_BASE_INT },	    { "s64", LBPF_BASE_LLONG },
	{ "__be16", LBPF_BASE_USHORT },	    { "__be32", LBPF_BASE_UINT },
	{ "__be64", LBPF_BASE_ULLONG },	    { "__le16", LBPF_BASE_USHORT },
	{ "__le32", LBPF_BASE_UINT },	    { "__le64", LBPF_BASE_ULLONG },
	{ "__sum16", LBPF_BASE_USHORT },    { "__wsum", LBPF_BASE_UINT },
	{ "int8_t", LBPF_BASE_SCHAR },	    { "int16_t", LBPF_BASE_SHORT },
	{ "int32_t", LBPF_BASE_INT },	    { "uint8_t", LBPF_BASE_UCHAR },
	{ "uint16_t", LBPF_BASE_USHORT },   { "uint32_t", LBPF_BASE_UINT },
#if __SIZEOF_LONG__ == 8
	{ "int64_t", LBPF_BASE_LONG },	    { "uint64_t", LBPF_BASE_ULONG },
#else
	{ "int64_t", LBPF_BASE_LLONG },	    { "uint64_t", LBPF_BASE_ULLONG },
#endif
	{ "intptr_t", LBPF_BASE_LONG },	    { "uintptr_t", LBPF_BASE_ULONG },
	{ "size_t", LBPF_BASE_ULONG },	    { "ssize_t", LBPF_BASE_LONG },
	{ "ptrdiff_t", LBPF_BASE_LONG },    { "bool", LBPF_BASE_BOOLEAN },
	{ "pid_t", LBPF_BASE_INT },	    { "uid_t", LBPF_BASE_UINT },
	{ "gid_t", LBPF_BASE_UINT },	    { "mode_t", LBPF_BASE_UINT },
	{ "off_t", LBPF_BASE_LONG },	    { "loff_t", LBPF_BASE_LLONG },
	{ "time64_t", LBPF_BASE_LLONG },    { "ktime_t", LBPF_BASE_LLONG },
	{ "__int128_t", LBPF_BASE_INT128 }, { "__uint128_t", LBPF_BASE_UINT128 },
};

static const struct {
	const char *name;
	enum lbpf_cword word;
} words[] = {
	{ "void", LBPF_WORD_VOID },
	{ "_Bool", LBPF_WORD_BOOL },
	{ "char", LBPF_WORD_CHAR },
	{ "short", LBPF_WORD_SHORT },
	{ "int", LBPF_WORD_INT },
	{ "long", LBPF_WORD_LONG },
	{ "float", LBPF_WORD_FLOAT },
	{ "double", LBPF_WORD_DOUBLE },
	{ "signed", LBPF_WORD_SIGNED },
	{ "__signed", LBPF_WORD_SIGNED },
	{ "__signed__", LBPF_WORD_SIGNED },
	{ "unsigned", LBPF_WORD_UNSIGNED },
	{ "__int128", LBPF_WORD_INT128 },
	{ "const", LBPF_WORD_QUALIFIER },
	{ "__const", LBPF_WORD_QUALIFIER },
	{ "volatile", LBPF_WORD_QUALIFIER },
	{ "__volatile__", LBPF_WORD_QUALIFIER },
	{ "restrict", LBPF_WORD_QUALIFIER },
	{ "__restrict", LBPF_WORD_QUALIFIER },
	{ "__restrict__", LBPF_WORD_QUALIFIER },
	{ "_Atomic", LBPF_WORD_QUALIFIER },
	{ "__extension__", LBPF_WORD_QUALIFIER },
	{ "typedef", LBPF_WORD_STORAGE },
	{ "extern", LBPF_WORD_STORAGE },
	{ "static", LBPF_WORD_STORAGE },
	{ "register", LBPF_WORD_STORAGE },
	{ "struct", LBPF_WORD_TAG },
	{ "union", LBPF_WORD_TAG },
	{ "enum", LBPF_WORD_TAG },
	{ "sizeof", LBPF_WORD_OPERATOR },
	{ "_Alignof", LBPF_WORD_OPERATOR },
	{ "__alignof__", LBPF_WORD_OPERATOR },
	{ "inline", LBPF_WORD_STORAGE },
	{ "__inline", LBPF_WORD_STORAGE },
	{ "__inline__", LBPF_WORD_STORAGE },
	{ "__attribute__", LBPF_WORD_ATTRIBUTE },
	{ "__attribute", LBPF_WORD_ATTRIBUTE },
	{ "__packed", LBPF_WORD_ATTRIBUTE },
	{ "__kptr", LBPF_WORD_ATTRIBUTE },
	{ "__kptr_untrusted", LBPF_WORD_ATTRIBUTE },
	{ "__percpu_kptr", LBPF_WORD_ATTRIBUTE },
	{ "__uptr", LBPF_WORD_ATTRIBUTE },
	{ "__aligned", LBPF_WORD_ATTRIBUTE },
	{ "_Alignas", LBPF_WORD_ATTRIBUTE },
};

uint32_t lbpf_cname_word(const struct lbpf_cparser *p)
{
	const char *text = p->lex.text + p->lex.tok.at;

	if (p->lex.tok.kind == LBPF_TOKEN_NAME)
		for (size_t i = 0; i < LBPF_COUNT(words); i++)
			if (words[i].name[0] == *text && lbpf_lex_is(&p->lex, words[i].name))
				return words[i].word;
	return LBPF_WORD_NONE;
}

bool lbpf_cname_is_free(const struct lbpf_cparser *p)
{
	return p->lex.tok.kind == LBPF_TOKEN_NAME && !lbpf_cname_word(p);
}

bool lbpf_cname_is_builtin(const char *name)
{
	for (size_t i = 0; i < LBPF_COUNT(builtins); i++)
		if (strcmp(builtins[i].name, name) == 0)
			return true;
	for (size_t i = 0; i < LBPF_COUNT(words); i++)
		if (words[i].word >= LBPF_WORD_VOID && strcmp(words[i].name, name) == 0)
			return true;
	return false;
}

/* ---- tables ---- */

uint32_t lbpf_cname_get(const struct lbpf_cparser *p, int table, const char *name)
{
	uint32_t i;

	lua_pushstring(p->L, name);
	lua_rawget(p->L, table);
	i = (uint32_t)lua_tointeger(p->L, -1);
	lua_pop(p->L, 1);
	return i;
}

void lbpf_cname_set(struct lbpf_cparser *p, int table, const char *name, uint32_t i)
{
	lua_pushstring(p->L, name);
	lua_pushinteger(p->L, (lua_Integer)i);
	lua_rawset(p->L, table);
}

/* What compilers define for va_list, as far as its size is concerned. */
static uint32_t va_list_type(struct lbpf_cparser *p)
{
	const size_t size = sizeof(va_list), word = sizeof(long);
	uint32_t element = lbpf_ctype_base(&p->t, LBPF_BASE_ULONG);
	uint32_t array = lbpf_ctype_array(&p->t, element, (uint32_t)(size / word), 0);

	return lbpf_ctype_new(&p->t, LBPF_C_TYPEDEF, array, "__builtin_va_list");
}

uint32_t lbpf_cname_typedef(struct lbpf_cparser *p, const char *name, bool with_builtins)
{
	uint32_t i = lbpf_cname_get(p, p->typedefs, name);

	if (i || lbpf_cname_get(p, p->consts, name))
		return i;
	i = lbpf_cbtf_find(&p->t, LBPF_C_TYPEDEF, name);
	for (size_t k = 0; !i && with_builtins && k < LBPF_COUNT(builtins); k++) {
		if (strcmp(builtins[k].name, name) == 0) {
			uint32_t base = lbpf_ctype_base(&p->t, builtins[k].base);

			i = lbpf_ctype_new(&p->t, LBPF_C_TYPEDEF, base, builtins[k].name);
		}
	}
	if (!i && with_builtins && strcmp(name, "__builtin_va_list") == 0)
		i = va_list_type(p);
	if (i)
		lbpf_cname_set(p, p->typedefs, name, i);
	return i;
}

uint32_t lbpf_cname_tag(struct lbpf_cparser *p, enum lbpf_ckind kind, const char *name)
{
	uint32_t i = lbpf_cname_get(p, p->tags, name);

	if (!i)
		i = lbpf_cbtf_find(&p->t, kind, name);
	if (!i)
		i = lbpf_ctype_new(&p->t, kind, 0, name);
	if (p->t.type[i].kind != kind)
		lbpf_lex_error(&p->lex, p->lex.tok.at, "'%s' is the tag of another type: %s %s", name,
			       lbpf_ctype_keyword(p->t.type[i].kind), name);
	lbpf_cname_set(p, p->tags, name, i);
	return i;
}

bool lbpf_cname_starts_type(struct lbpf_cparser *p)
{
	uint32_t word = lbpf_cname_word(p);

	if (word)
		return word != LBPF_WORD_OPERATOR;
	return p->lex.tok.kind == LBPF_TOKEN_NAME && lbpf_cname_typedef(p, lbpf_ctypes_name(&p->t), true);
}

/* ---- suggestions ---- */

struct guess {
	const char *name, *best;
	unsigned int distance; /* of the best match */
};

static void guess(struct guess *g, const char *name)
{
	unsigned int d = lbpf_distance(g->name, name);

	if (d < g->distance) {
		g->distance = d;
		g->best = name;
	}
}

static void guess_keys(struct lbpf_cparser *p, struct guess *g, int table)
{
	lua_pushnil(p->L);
	while (lua_next(p->L, table)) {
		guess(g, lua_tostring(p->L, -2));
		lua_pop(p->L, 1);
	}
}

/* The kind of type that has this name as its tag: the script wrote "hit" instead of "struct hit". */
static const char *forgotten(struct lbpf_cparser *p, const char *name)
{
	static const enum lbpf_ckind kinds[] = { LBPF_C_STRUCT, LBPF_C_UNION, LBPF_C_ENUM };
	uint32_t i = lbpf_cname_get(p, p->tags, name);

	for (size_t k = 0; !i && k < LBPF_COUNT(kinds); k++)
		i = lbpf_cbtf_find(&p->t, kinds[k], name);
	return i ? lbpf_ctype_keyword(p->t.type[i].kind) : NULL;
}

void lbpf_cname_unknown_type(struct lbpf_cparser *p)
{
	uint32_t at = p->lex.tok.at;
	const char *quoted = lbpf_lex_quote(&p->lex), *tag;
	struct guess g = { 0 };

	if (!lbpf_cname_is_free(p))
		lbpf_lex_error(&p->lex, at, "expected a type, got %s", quoted);
	g.name = lbpf_ctypes_name(&p->t);
	tag = forgotten(p, g.name);
	if (tag)
		lbpf_lex_error(&p->lex, at, "unknown type name %s; did you mean '%s %s'?", quoted, tag, g.name);
	/* A name is suggested if at most a third of its letters differ. */
	g.distance = (unsigned int)(strlen(g.name) + 2) / 3 + 1;
	if (strlen(g.name) > LBPF_DISTANCE_MAX)
		g.distance = 0;
	for (size_t i = 0; i < LBPF_COUNT(builtins); i++)
		guess(&g, builtins[i].name);
	for (size_t i = 0; i < LBPF_COUNT(words); i++)
		if (words[i].word >= LBPF_WORD_TAG && words[i].word != LBPF_WORD_OPERATOR)
			guess(&g, words[i].name);
	guess_keys(p, &g, p->typedefs);
	if (g.best)
		lbpf_lex_error(&p->lex, at, "unknown type name %s; did you mean '%s'?", quoted, g.best);
	lbpf_lex_error(&p->lex, at, "unknown type name %s", quoted);
}
