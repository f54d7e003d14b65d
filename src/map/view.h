/* SPDX-License-Identifier: MIT */
/* Views of a map's memory. */
#ifndef LBPF_MAP_VIEW_H
#define LBPF_MAP_VIEW_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: adds to the table `map` of the module table at the top. */
LBPF_OPENER lbpf_view_open(lua_State *L);

LBPF_HIDDEN_END

#endif
