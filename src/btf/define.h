/* SPDX-License-Identifier: MIT */
/* Definitions of structs, unions and enums in C that have the layout that the BTF has. No Lua here. */
#ifndef LBPF_BTF_DEFINE_H
#define LBPF_BTF_DEFINE_H

#include <stddef.h>
#include <stdint.h>

#include "base/compat.h"
#include "btf/text.h"

LBPF_HIDDEN_BEGIN

/* The struct, union or enum that is defined where a type is declared: itself, or what is behind pointers, arrays and
 * qualifiers, if that has no name. 0 if there is none. */
uint32_t lbpf_btfdefine_which(const struct btf *btf, uint32_t id);

/* Puts members in place of those that libbpf has written, in the first braces of the text from start on, for the type
 * of this id. */
void lbpf_btfdefine(struct lbpf_btftext *t, size_t start, uint32_t id, int level);

LBPF_HIDDEN_END

#endif
