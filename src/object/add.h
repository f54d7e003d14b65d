/* SPDX-License-Identifier: MIT */
/* Adding to numbers in memory, atomically. */
#ifndef LBPF_OBJECT_ADD_H
#define LBPF_OBJECT_ADD_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: adds to the table `map` of the module table at the top. */
LBPF_OPENER lbpf_add_open(lua_State *L);

LBPF_HIDDEN_END

#endif
