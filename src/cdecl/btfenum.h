/* SPDX-License-Identifier: MIT */
/* Reads enumerators from BTF. Doesn't use Lua. */
#ifndef LBPF_CDECL_BTFENUM_H
#define LBPF_CDECL_BTFENUM_H

#include <stdbool.h>
#include <stdint.h>

#include <bpf/btf.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Whether values of an enum are signed. clang before 15 and pahole before 1.24 don't record that; then an enum counts
 * as signed if one of its values reads as a small negative number. */
bool lbpf_btfenum_is_signed(const struct btf *btf, const struct btf_type *t);

/* Whether the upper half of each enumerator is missing. clang before 15 and pahole before 1.24 describe an enum of 8
 * bytes by values of 4 bytes. */
bool lbpf_btfenum_is_cut(const struct btf_type *t);

/* The value of enumerator i, or its lower half if the upper is missing; stores the offset of its name. */
int64_t lbpf_btfenum_value(const struct btf_type *t, uint16_t i, bool is_signed, uint32_t *name_off);

LBPF_HIDDEN_END

#endif
