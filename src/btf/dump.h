/* SPDX-License-Identifier: MIT */
/* Prints BTF types as C declarations. */
#ifndef LBPF_BTF_DUMP_H
#define LBPF_BTF_DUMP_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Methods. */
int lbpf_btf_print(lua_State *L);
int lbpf_btf_dump(lua_State *L);

LBPF_OPENER lbpf_btfdump_open(lua_State *L);

LBPF_HIDDEN_END

#endif
