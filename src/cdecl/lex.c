/* SPDX-License-Identifier: MIT */
/* Splits C declarations into tokens. The text comes from a script and may contain anything, even NULs. */
#include "cdecl/lex.h"

#include <stdarg.h>
#include <string.h>

#include <lauxlib.h>

#define LEX_MAX_TEXT (64u << 20)
#define LEX_MAX_QUOTE 40

/* ---- errors ---- */

void lbpf_lex_error(const struct lbpf_lex *lex, uint32_t at, const char *fmt, ...)
{
	int line = 1, column = 1;
	const char *message;
	va_list args;

	for (uint32_t i = 0; i < at && i < lex->len; i++) {
		column++;
		if (lex->text[i] == '\n') {
			line++;
			column = 1;
		}
	}
	if (lex->failed)
		*lex->failed = at;
	luaL_checkstack(lex->L, 4, NULL);
	va_start(args, fmt);
	message = lua_pushvfstring(lex->L, fmt, args);
	va_end(args);
	luaL_error(lex->L, "C declaration, line %d, column %d: %s", line, column, message);
	__builtin_unreachable();
}

const char *lbpf_lex_push(const struct lbpf_lex *lex)
{
	return lua_pushlstring(lex->L, lex->text + lex->tok.at, lex->tok.end - lex->tok.at);
}

const char *lbpf_lex_quote(const struct lbpf_lex *lex)
{
	uint32_t len = lex->tok.end - lex->tok.at;
	luaL_Buffer b;

	if (lex->tok.kind == LBPF_TOKEN_END)
		return lua_pushliteral(lex->L, "the end");
	luaL_checkstack(lex->L, 4, NULL);
	luaL_buffinit(lex->L, &b);
	luaL_addchar(&b, '\'');
	for (uint32_t i = 0; i < len && i < LEX_MAX_QUOTE; i++) {
		unsigned char c = (unsigned char)lex->text[lex->tok.at + i];

		if (c >= ' ' && c < 127) {
			luaL_addchar(&b, (char)c);
		} else {
			luaL_addlstring(&b, "\\x", 2);
			luaL_addchar(&b, "0123456789abcdef"[c >> 4]);
			luaL_addchar(&b, "0123456789abcdef"[c & 15]);
		}
	}
	luaL_addstring(&b, len > LEX_MAX_QUOTE ? "…'" : "'");
	luaL_pushresult(&b);
	return lua_tostring(lex->L, -1);
}

/* ---- scanning ---- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c);
}

static char char_at(const struct lbpf_lex *lex, uint32_t i)
{
	return i < lex->len ? lex->text[i] : '\0';
}

static uint32_t skip_comment(const struct lbpf_lex *lex, uint32_t i)
{
	uint32_t start = i;

	if (lex->text[i + 1] == '/') {
		while (i < lex->len && lex->text[i] != '\n')
			i++;
		return i;
	}
	for (i += 2; i + 1 < lex->len; i++)
		if (lex->text[i] == '*' && lex->text[i + 1] == '/')
			return i + 2;
	lbpf_lex_error(lex, start, "this comment doesn't end");
}

static uint32_t skip_blanks(const struct lbpf_lex *lex, uint32_t i)
{
	while (i < lex->len) {
		char c = lex->text[i], next = char_at(lex, i + 1);

		if (c == '/' && i + 1 < lex->len && (next == '/' || next == '*'))
			i = skip_comment(lex, i);
		else if (c == ' ' || (c >= '\t' && c <= '\r'))
			i++;
		else if (c == '\\' && next == '\n')
			i += 2;
		else if (c == '\\' && next == '\r' && char_at(lex, i + 2) == '\n')
			i += 3;
		else
			break;
	}
	return i;
}

static uint32_t scan_quoted(const struct lbpf_lex *lex, uint32_t i)
{
	uint32_t start = i;
	char quote = lex->text[i++];

	for (; i < lex->len && lex->text[i] != '\n'; i++) {
		if (lex->text[i] == quote)
			return i + 1;
		if (lex->text[i] == '\\')
			i++;
	}
	lbpf_lex_error(lex, start, "this %s doesn't end", quote == '"' ? "string" : "character constant");
}

static uint32_t scan_punct(const struct lbpf_lex *lex, uint32_t i)
{
	static const char *const longer[] = { "...", "<<", ">>", "<=", ">=", "==", "!=", "&&", "||" };

	for (size_t k = 0; k < sizeof(longer) / sizeof(*longer); k++) {
		size_t len = strlen(longer[k]);

		if (len <= lex->len - i && memcmp(lex->text + i, longer[k], len) == 0)
			return i + (uint32_t)len;
	}
	return i + 1;
}

void lbpf_lex_next(struct lbpf_lex *lex)
{
	uint32_t at = skip_blanks(lex, lex->tok.end), i = at;
	char c = char_at(lex, i);

	lex->tok = (struct lbpf_token){ LBPF_TOKEN_PUNCT, at, at };
	if (i >= lex->len) {
		lex->tok.kind = LBPF_TOKEN_END;
		return;
	}
	if (is_digit(c) || (c == '.' && is_digit(char_at(lex, i + 1)))) {
		lex->tok.kind = LBPF_TOKEN_NUMBER;
		while (is_name(char_at(lex, i)) || char_at(lex, i) == '.')
			i++;
	} else if (is_name(c)) {
		lex->tok.kind = LBPF_TOKEN_NAME;
		while (is_name(char_at(lex, i)))
			i++;
	} else if (c == '"' || c == '\'') {
		lex->tok.kind = c == '"' ? LBPF_TOKEN_STRING : LBPF_TOKEN_CHAR;
		i = scan_quoted(lex, i);
	} else if (c == '#') {
		lbpf_lex_error(lex, at, "preprocessor directives are not understood");
	} else {
		i = scan_punct(lex, i);
	}
	lex->tok.end = i;
}

void lbpf_lex_begin(struct lbpf_lex *lex, lua_State *L, const char *text, size_t len)
{
	if (len > LEX_MAX_TEXT)
		luaL_error(L, "C declaration: the text is longer than %d bytes", (int)LEX_MAX_TEXT);
	*lex = (struct lbpf_lex){ .L = L, .text = text, .len = (uint32_t)len };
	lbpf_lex_next(lex);
}

bool lbpf_lex_is(const struct lbpf_lex *lex, const char *text)
{
	size_t len = strlen(text);

	return (lex->tok.kind == LBPF_TOKEN_NAME || lex->tok.kind == LBPF_TOKEN_PUNCT) &&
		lex->tok.end - lex->tok.at == len && memcmp(lex->text + lex->tok.at, text, len) == 0;
}

bool lbpf_lex_accept(struct lbpf_lex *lex, const char *text)
{
	if (!lbpf_lex_is(lex, text))
		return false;
	lbpf_lex_next(lex);
	return true;
}

void lbpf_lex_expect(struct lbpf_lex *lex, const char *text, const char *after)
{
	if (!lbpf_lex_accept(lex, text))
		lbpf_lex_error(lex, lex->tok.at, "expected '%s'%s%s, got %s", text, *after ? " " : "", after,
			       lbpf_lex_quote(lex));
}

void lbpf_lex_skip_group(struct lbpf_lex *lex)
{
	uint32_t start = lex->tok.at, depth = 0;

	do {
		if (lex->tok.kind == LBPF_TOKEN_END)
			lbpf_lex_error(lex, start, "this '%c' is never closed", lex->text[start]);
		if (lbpf_lex_is(lex, "(") || lbpf_lex_is(lex, "[") || lbpf_lex_is(lex, "{"))
			depth++;
		else if (lbpf_lex_is(lex, ")") || lbpf_lex_is(lex, "]") || lbpf_lex_is(lex, "}"))
			depth--;
		lbpf_lex_next(lex);
	} while (depth > 0);
}

/* ---- constants ---- */

static int digit_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 99;
}

/* Reads digits of a base up to `end`, or up to the first character that is no digit. */
static uint32_t scan_digits(const struct lbpf_lex *lex, uint32_t i, uint32_t end, unsigned int base, uint64_t *v)
{
	for (*v = 0; i < end && digit_value(lex->text[i]) < (int)base; i++) {
		uint64_t digit = (uint64_t)digit_value(lex->text[i]);

		if (*v > (UINT64_MAX - digit) / base)
			lbpf_lex_error(lex, lex->tok.at, "%s doesn't fit 64 bits", lbpf_lex_quote(lex));
		*v = *v * base + digit;
	}
	return i;
}

/* Reads the suffix of an integer, u, l, ll or a combination. Returns whether nothing else follows. */
static bool scan_suffix(const struct lbpf_lex *lex, uint32_t i, struct lbpf_cvalue *value)
{
	for (; i < lex->tok.end; i++) {
		char c = lex->text[i];

		if ((c == 'u' || c == 'U') && !value->is_unsigned) {
			value->is_unsigned = true;
		} else if ((c == 'l' || c == 'L') && !value->is_long) {
			value->is_long = true;
			if (i + 1 < lex->tok.end && lex->text[i + 1] == c)
				i++;
		} else {
			return false;
		}
	}
	return true;
}

static struct lbpf_cvalue number(const struct lbpf_lex *lex)
{
	struct lbpf_cvalue value = { 0 };
	uint32_t i = lex->tok.at, digits;
	unsigned int base = 10;
	char second = lex->tok.end - i > 1 ? lex->text[i + 1] : '\0';

	if (lex->text[i] == '0' && (second == 'x' || second == 'X'))
		base = 16, i += 2;
	else if (lex->text[i] == '0' && (second == 'b' || second == 'B'))
		base = 2, i += 2;
	else if (lex->text[i] == '0')
		base = 8;
	digits = i;
	i = scan_digits(lex, i, lex->tok.end, base, &value.v);
	if (i == digits || !scan_suffix(lex, i, &value))
		lbpf_lex_error(lex, lex->tok.at, "%s is no integer constant", lbpf_lex_quote(lex));
	if (value.v > UINT32_MAX || (value.v > INT32_MAX && base == 10 && !value.is_unsigned))
		value.is_long = true;
	if (value.v > INT64_MAX || (!value.is_long && value.v > INT32_MAX))
		value.is_unsigned = true;
	return value;
}

static struct lbpf_cvalue character(const struct lbpf_lex *lex)
{
	static const char escapes[] = "a\ab\be\033f\fn\nr\rt\tv\v\\\\''\"\"??";
	uint32_t i = lex->tok.at + 1, end = lex->tok.end - 1;
	uint64_t v = 256;

	if (i < end && lex->text[i] != '\\') {
		v = (unsigned char)lex->text[i++];
	} else if (i + 1 < end) {
		char c = lex->text[++i];

		if (c == 'x' && i + 1 < end) {
			i = scan_digits(lex, i + 1, end, 16, &v);
		} else if (c >= '0' && c <= '7') {
			i = scan_digits(lex, i, end, 8, &v);
		} else {
			for (size_t k = 0; k + 2 < sizeof(escapes); k += 2)
				if (escapes[k] == c)
					v = (unsigned char)escapes[k + 1];
			i++;
		}
	}
	if (i != end || v > 255)
		lbpf_lex_error(lex, lex->tok.at, "%s is no character constant", lbpf_lex_quote(lex));
	return (struct lbpf_cvalue){ .v = (uint64_t)(char)v };
}

struct lbpf_cvalue lbpf_lex_value(const struct lbpf_lex *lex)
{
	return lex->tok.kind == LBPF_TOKEN_CHAR ? character(lex) : number(lex);
}
