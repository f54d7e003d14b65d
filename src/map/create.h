/* SPDX-License-Identifier: MIT */
/* Creating maps without any object. */
#ifndef LBPF_MAP_CREATE_H
#define LBPF_MAP_CREATE_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: adds to the table `map` of the module table at the top. */
LBPF_OPENER lbpf_mapcreate_open(lua_State *L);

LBPF_HIDDEN_END

#endif
