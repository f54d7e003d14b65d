/* SPDX-License-Identifier: MIT */
/* A text of C declarations in pieces. Each piece is about one type; the pieces are in the order in which libbpf would
 * write them. Each is written by libbpf or by define.c. Doesn't use Lua. */
#ifndef LBPF_BTF_PIECES_H
#define LBPF_BTF_PIECES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compat.h"
#include "btf/text.h"
#include "cdecl/cdecl.h"

struct lbpf_btfpieces {
	struct lbpf_btftext text;
	uint32_t *id; /* by piece: its type */
	/* By piece: where it ends, and the type that its text means when parsed */
	struct lbpf_cpiece *piece;
	uint32_t count;
	uint8_t *order; /* by type: whether it has been met */
	bool *ours;	/* by type: whether define.c writes it */
};

LBPF_HIDDEN_BEGIN

/* Makes room for the types of btf; the text's err tells whether that failed. Freeing twice is allowed. */
void lbpf_btfpieces_make(struct lbpf_btfpieces *p, const struct btf *btf);
void lbpf_btfpieces_free(struct lbpf_btfpieces *p);

/* Begins the text, or begins it again. */
void lbpf_btfpieces_begin(struct lbpf_btfpieces *p);

/* Ends the piece that began at `start` and that libbpf has written. */
void lbpf_btfpieces_end(struct lbpf_btfpieces *p, size_t start, uint32_t id);

/* Adds the definitions that a type needs, then its own, in the order of btf_dump_order_type, so that the text is the
 * same. Behind a pointer a struct needs only its name. Returns whether the type is defined now. weigh.c has checked
 * that this recursion ends. */
bool lbpf_btfpieces_order(struct lbpf_btfpieces *p, uint32_t id, bool pointed);

/* Prepends the type's name to the reason why it can't be written in C. */
void lbpf_btfpieces_name(struct lbpf_btfpieces *p, uint32_t id);

LBPF_HIDDEN_END

#endif
