/* SPDX-License-Identifier: MIT */
/* Splits C declarations into tokens. Error messages tell where in the text they are. */
#ifndef LBPF_CDECL_LEX_H
#define LBPF_CDECL_LEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lua.h>

#include "base/compat.h"
#include "base/raise.h"

enum lbpf_token_kind {
	LBPF_TOKEN_END,
	LBPF_TOKEN_NAME, /* identifiers and keywords */
	LBPF_TOKEN_NUMBER,
	LBPF_TOKEN_CHAR,
	LBPF_TOKEN_STRING,
	LBPF_TOKEN_PUNCT,
};

struct lbpf_token {
	enum lbpf_token_kind kind;
	uint32_t at, end; /* where in the text the token begins and ends */
};

/* The state of reading. To go back to a place, copy the struct there and assign the copy later. */
struct lbpf_lex {
	lua_State *L;
	const char *text;
	uint32_t len;
	struct lbpf_token tok; /* the next token */
	uint32_t *failed;      /* receives the position of an error; or NULL */
};

/* An integer constant, in two's complement with 64 bits. Its C type is 32 or 64 bits wide. */
struct lbpf_cvalue {
	uint64_t v;
	bool is_unsigned, is_long;
};

LBPF_HIDDEN_BEGIN

/* Starts at the first token. The text must stay valid as long as lex is used. */
void lbpf_lex_begin(struct lbpf_lex *lex, lua_State *L, const char *text, size_t len);

void lbpf_lex_next(struct lbpf_lex *lex);

/* Whether the token is this word or punctuator. */
bool lbpf_lex_is(const struct lbpf_lex *lex, const char *text);

/* If this is the token, goes to the next one and returns true. */
bool lbpf_lex_accept(struct lbpf_lex *lex, const char *text);

/* Goes to the next token if this is the token; otherwise raises "expected ';' <after>, got …". after may be "". */
void lbpf_lex_expect(struct lbpf_lex *lex, const char *text, const char *after);

/* Skips the group that begins with the token, an opening parenthesis, bracket or brace. */
void lbpf_lex_skip_group(struct lbpf_lex *lex);

/* The value of the number or character constant that is the token. */
struct lbpf_cvalue lbpf_lex_value(const struct lbpf_lex *lex);

/* Pushes the token's text. */
const char *lbpf_lex_push(const struct lbpf_lex *lex);

/* Pushes the token as messages quote it. */
const char *lbpf_lex_quote(const struct lbpf_lex *lex);

/* Raises "C declaration, line …, column …: <fmt…>"; fmt is lua_pushfstring's. */
_Noreturn void lbpf_lex_error(const struct lbpf_lex *lex, uint32_t at, const char *fmt, ...);

LBPF_HIDDEN_END

#endif
