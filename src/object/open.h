/* SPDX-License-Identifier: MIT */
/* Opening compiled BPF objects. */
#ifndef LBPF_OBJECT_OPEN_H
#define LBPF_OBJECT_OPEN_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: adds `open` and `load` to the module table at the top. */
LBPF_OPENER lbpf_open_open(lua_State *L);

LBPF_HIDDEN_END

#endif
