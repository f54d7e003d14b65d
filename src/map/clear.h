/* SPDX-License-Identifier: MIT */
/* Deleting all entries of a map. */
#ifndef LBPF_MAP_CLEAR_H
#define LBPF_MAP_CLEAR_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: adds to the table `map` of the module table at the top. */
LBPF_OPENER lbpf_clear_open(lua_State *L);

LBPF_HIDDEN_END

#endif
