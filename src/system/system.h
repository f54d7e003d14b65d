/* SPDX-License-Identifier: MIT */
/* The maps, programs and links that the kernel holds, by id. */
#ifndef LBPF_SYSTEM_H
#define LBPF_SYSTEM_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: adds functions to the module table at the top. */
LBPF_OPENER lbpf_system_open(lua_State *L);

LBPF_HIDDEN_END

#endif
