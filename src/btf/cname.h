/* SPDX-License-Identifier: MIT */
/* The C name of a type. */
#ifndef LBPF_BTF_CNAME_H
#define LBPF_BTF_CNAME_H

#include <stdint.h>

#include <bpf/btf.h>
#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Pushes the C name of a type: "const char *", "struct hit[3]", "int (*)(struct sock *, int)". */
void lbpf_btf_push_cname(lua_State *L, const struct btf *btf, uint32_t id);

LBPF_HIDDEN_END

#endif
