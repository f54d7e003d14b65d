/* SPDX-License-Identifier: MIT */
/* A text of C declarations in pieces, each of which is about one type: in the order in which libbpf would write them,
 * each by libbpf, or by define.c. No Lua here. */
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
	uint32_t *id;		   /* of each piece: its type */
	struct lbpf_cpiece *piece; /* of each piece: where it ends, and the type that its text means */
	uint32_t count;
	uint8_t *order; /* of each type: whether it has been met */
	bool *ours;	/* of each type: define.c is to write it */
};

LBPF_HIDDEN_BEGIN

/* Makes room for the types of btf; the text's err tells whether that failed. Free it, which may be done twice. */
void lbpf_btfpieces_make(struct lbpf_btfpieces *p, const struct btf *btf);
void lbpf_btfpieces_free(struct lbpf_btfpieces *p);

/* Begins the text, once more if there is one. */
void lbpf_btfpieces_begin(struct lbpf_btfpieces *p);

/* Ends the piece that began at start, which libbpf has written. */
void lbpf_btfpieces_end(struct lbpf_btfpieces *p, size_t start, uint32_t id);

/* Adds the definitions that a type needs, then its own, as btf_dump_order_type does, for the same text. Behind a
 * pointer a struct is a mere name. Returns whether the type is defined now. weigh.c has seen that there is an end to
 * it. */
bool lbpf_btfpieces_order(struct lbpf_btfpieces *p, uint32_t id, bool pointed);

/* Puts a type in front of why C has no words for it. */
void lbpf_btfpieces_name(struct lbpf_btfpieces *p, uint32_t id);

LBPF_HIDDEN_END

#endif
