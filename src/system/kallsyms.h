/* SPDX-License-Identifier: MIT */
/* The kernel's functions by address, for bpf.symbols. */
#ifndef LBPF_SYSTEM_KALLSYMS_H
#define LBPF_SYSTEM_KALLSYMS_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: adds `kallsyms` to the table of functions that only our own Lua modules use, the module table's field
 * "posix". */
LBPF_OPENER lbpf_kallsyms_open(lua_State *L);

LBPF_HIDDEN_END

#endif
