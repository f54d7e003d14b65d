/* SPDX-License-Identifier: MIT */
/* Checks that the text of a BTF type is finite: the BTF may be damaged. */
#ifndef LBPF_BTF_WEIGH_H
#define LBPF_BTF_WEIGH_H

#include <stdint.h>

#include <lua.h>

#include "base/compat.h"

struct btf;

LBPF_HIDDEN_BEGIN

/* Raises unless the text of each type from first to last is finite. */
void lbpf_btfweigh(lua_State *L, const struct btf *btf, uint32_t first, uint32_t last);

LBPF_HIDDEN_END

#endif
