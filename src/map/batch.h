/* SPDX-License-Identifier: MIT */
/* Operations on many entries at once. */
#ifndef LBPF_BATCH_H
#define LBPF_BATCH_H

#include <lua.h>

#include "compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: adds to the table `map` of the module table at the top. */
void lbpf_batch_open(lua_State *L);

LBPF_HIDDEN_END

#endif
