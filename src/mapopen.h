/* SPDX-License-Identifier: MIT */
/* Handles of maps that exist already, and their pins. */
#ifndef LBPF_MAPOPEN_H
#define LBPF_MAPOPEN_H

#include <lua.h>

#include "compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: adds to the table `map` of the module table at the top. */
void lbpf_mapopen_open(lua_State *L);

LBPF_HIDDEN_END

#endif
