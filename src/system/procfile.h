/* SPDX-License-Identifier: MIT */
/* Files of other processes, for bpf.symbols. */
#ifndef LBPF_SYSTEM_PROCFILE_H
#define LBPF_SYSTEM_PROCFILE_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: adds `open_regular` and `status` to the table of functions that only our own Lua modules use, the module
 * table's field "posix". */
LBPF_OPENER lbpf_procfile_open(lua_State *L);

LBPF_HIDDEN_END

#endif
