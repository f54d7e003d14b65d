/* SPDX-License-Identifier: MIT */
/* POSIX functions that our Lua modules need and Lua's libraries lack: poll(2), names of errors and users, terminals,
 * locks, and writing a file atomically (base/draft). */
#ifndef LBPF_BASE_POSIX_H
#define LBPF_BASE_POSIX_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: gives the module table at the top a metatable through which it has the field "posix". */
LBPF_OPENER lbpf_posix_open(lua_State *L);

LBPF_HIDDEN_END

#endif
