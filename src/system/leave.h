/* SPDX-License-Identifier: MIT */
/* Closing descriptors by another process, where that takes the kernel long. */
#ifndef LBPF_LEAVE_H
#define LBPF_LEAVE_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: adds `leave` to the functions of base/posix. */
LBPF_OPENER lbpf_leave_open(lua_State *L);

LBPF_HIDDEN_END

#endif
