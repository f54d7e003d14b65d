/* SPDX-License-Identifier: MIT */
/* Operations on one entry of a map. */
#ifndef LBPF_MAPOPS_H
#define LBPF_MAPOPS_H

#include <lua.h>

#include "compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: adds to the table `map` of the module table at the top. */
void lbpf_mapops_open(lua_State *L);

LBPF_HIDDEN_END

#endif
