/* SPDX-License-Identifier: MIT */
/* Writes definitions of structs, unions and enums in C that have the same layout as in BTF. Doesn't use Lua. */
#ifndef LBPF_BTF_DEFINE_H
#define LBPF_BTF_DEFINE_H

#include <stddef.h>
#include <stdint.h>

#include "base/compat.h"
#include "btf/text.h"

LBPF_HIDDEN_BEGIN

/* The struct, union or enum that a declaration of this type has to define: the type itself; or, if it has no name, the
 * type behind pointers, arrays and qualifiers. 0 if there is none. */
uint32_t lbpf_btfdefine_which(const struct btf *btf, uint32_t id);

/* Replaces the members that libbpf has written, in the first braces of the text from `start` on, by correct ones, for
 * the type with this id. */
void lbpf_btfdefine(struct lbpf_btftext *t, size_t start, uint32_t id, int level);

LBPF_HIDDEN_END

#endif
