/* SPDX-License-Identifier: MIT */
/* Operations on many entries at once. */
#ifndef LBPF_MAP_BATCH_H
#define LBPF_MAP_BATCH_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: adds to the table `map` of the module table at the top. */
LBPF_OPENER lbpf_batch_open(lua_State *L);

LBPF_HIDDEN_END

#endif
