/* SPDX-License-Identifier: MIT */
/* Whether there is an end to the text of a type of BTF, which may be damaged. */
#ifndef LBPF_BTF_WEIGH_H
#define LBPF_BTF_WEIGH_H

#include <stdint.h>

#include <lua.h>

#include "base/compat.h"

struct btf;

LBPF_HIDDEN_BEGIN

/* Raises unless there is an end to the text of each type from first to last. */
void lbpf_btfweigh(lua_State *L, const struct btf *btf, uint32_t first, uint32_t last);

LBPF_HIDDEN_END

#endif
