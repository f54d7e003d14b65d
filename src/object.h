/* SPDX-License-Identifier: MIT */
/* Compiled BPF objects: open, configure, load, attach, close. */
#ifndef LBPF_OBJECT_H
#define LBPF_OBJECT_H

#include <lua.h>

#include "compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: adds `open` and `load` to the module table at the top. */
void lbpf_object_open(lua_State *L);

LBPF_HIDDEN_END

#endif
