/* SPDX-License-Identifier: MIT */
/* Columns: handles of a map that show only some members of its values. */
#ifndef LBPF_MAP_COLUMN_H
#define LBPF_MAP_COLUMN_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: adds to the table `map` of the module table at the top. */
LBPF_OPENER lbpf_column_open(lua_State *L);

LBPF_HIDDEN_END

#endif
