/* SPDX-License-Identifier: MIT */
/* Text of C declarations, as libbpf's btf_dump writes it. No Lua here. */
#ifndef LBPF_BTF_TEXT_H
#define LBPF_BTF_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compat.h"

struct btf;
struct btf_dump;

struct lbpf_btftext {
	const struct btf *btf;
	struct btf_dump *dump; /* knows what has been defined, and how types with one name are told apart */
	char *text;	       /* NUL-terminated, once there is any */
	size_t len, room;
	int err;       /* an errno: nothing more is written */
	char why[256]; /* with EOPNOTSUPP: what C has no words for */
};

LBPF_HIDDEN_BEGIN

/* Makes an empty text; err tells whether that failed. Free it by lbpf_btftext_free, which may be called twice. */
void lbpf_btftext_begin(struct lbpf_btftext *t, const struct btf *btf);
void lbpf_btftext_free(struct lbpf_btftext *t);

__attribute__((format(printf, 2, 3))) void lbpf_btftext_add(struct lbpf_btftext *t, const char *fmt, ...);

/* Gives up: the reason is that C has no words for something. */
__attribute__((format(printf, 2, 3))) void lbpf_btftext_fail(struct lbpf_btftext *t, const char *fmt, ...);

/* Adds the definition of a type that has none yet, behind those that it needs. */
void lbpf_btftext_type(struct lbpf_btftext *t, uint32_t id);

/* Adds "int (*name)(void)". */
void lbpf_btftext_declaration(struct lbpf_btftext *t, uint32_t id, const char *name, int level);

/* Puts something in front of the text and something behind it. */
void lbpf_btftext_wrap(struct lbpf_btftext *t, const char *before, const char *after);

/* Cuts the text off at len. */
void lbpf_btftext_cut(struct lbpf_btftext *t, size_t len);

/* Where the last paragraph of the text begins, at start or behind it. libbpf ends a definition with an empty line. */
size_t lbpf_btftext_paragraph(const struct lbpf_btftext *t, size_t start);

LBPF_HIDDEN_END

#endif
