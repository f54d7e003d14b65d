/* SPDX-License-Identifier: MIT */
/* Text of C declarations that libbpf's btf_dump writes. Doesn't use Lua. */
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
	/* Remembers what is defined, and how types with the same name are told apart */
	struct btf_dump *dump;
	char *text; /* NUL-terminated, once there is any */
	size_t len, room;
	int err;       /* an errno, after which nothing more is written */
	char why[256]; /* with EOPNOTSUPP: what can't be written in C */
};

LBPF_HIDDEN_BEGIN

/* Makes an empty text; err tells whether that failed. lbpf_btftext_free frees it, and may be called twice. */
void lbpf_btftext_begin(struct lbpf_btftext *t, const struct btf *btf);
void lbpf_btftext_free(struct lbpf_btftext *t);

__attribute__((format(printf, 2, 3))) void lbpf_btftext_add(struct lbpf_btftext *t, const char *fmt, ...);

/* Sets EOPNOTSUPP and the reason: something can't be written in C. */
__attribute__((format(printf, 2, 3))) void lbpf_btftext_fail(struct lbpf_btftext *t, const char *fmt, ...);

/* Adds the definition of a type that isn't defined yet, after the definitions that it needs. */
void lbpf_btftext_type(struct lbpf_btftext *t, uint32_t id);

/* Adds a declaration such as "int (*name)(void)". */
void lbpf_btftext_declaration(struct lbpf_btftext *t, uint32_t id, const char *name, int level);

/* Adds `before` at the beginning of the text and `after` at its end. */
void lbpf_btftext_wrap(struct lbpf_btftext *t, const char *before, const char *after);

/* Cuts the text to `len` bytes. */
void lbpf_btftext_cut(struct lbpf_btftext *t, size_t len);

/* Where the last paragraph of the text begins, not before `start`. libbpf ends each definition with an empty line. */
size_t lbpf_btftext_paragraph(const struct lbpf_btftext *t, size_t start);

LBPF_HIDDEN_END

#endif
