/* SPDX-License-Identifier: MIT */
/* BTF to plans: what the codec makes of a type. */
#ifndef LBPF_BTF_COMPILE_H
#define LBPF_BTF_COMPILE_H

#include <stdint.h>

#include <bpf/btf.h>

#include "base/compat.h"
#include "value/plan.h"

LBPF_HIDDEN_BEGIN

/* Pushes the type of a BTF id. Raises when it has no size or the BTF is malformed. */
struct lbpf_type *lbpf_btf_compile(lua_State *L, const struct btf *btf, uint32_t id);

LBPF_HIDDEN_END

#endif
