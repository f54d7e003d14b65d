/* SPDX-License-Identifier: MIT */
/* Index syntax: m[k] and m[k] = v. */
#ifndef LBPF_MAP_INDEX_H
#define LBPF_MAP_INDEX_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: adds to the map class. */
LBPF_OPENER lbpf_index_open(lua_State *L);

LBPF_HIDDEN_END

#endif
