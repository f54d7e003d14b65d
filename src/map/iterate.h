/* SPDX-License-Identifier: MIT */
/* Iterating over a map: pairs, keys, drain and the length operator. */
#ifndef LBPF_MAP_ITERATE_H
#define LBPF_MAP_ITERATE_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: adds to the map class and to the table `map` of the module table at the top. */
LBPF_OPENER lbpf_iterate_open(lua_State *L);

LBPF_HIDDEN_END

#endif
