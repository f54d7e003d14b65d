/* SPDX-License-Identifier: MIT */
/* Compiles BTF types into plans, by which values are encoded and decoded. */
#ifndef LBPF_BTF_COMPILE_H
#define LBPF_BTF_COMPILE_H

#include <stdint.h>

#include <bpf/btf.h>

#include "base/compat.h"
#include "value/plan.h"

LBPF_HIDDEN_BEGIN

/* Pushes the type with a BTF id. Raises if the type has no size or the BTF is malformed. */
struct lbpf_type *lbpf_btf_compile(lua_State *L, const struct btf *btf, uint32_t id);

LBPF_HIDDEN_END

#endif
