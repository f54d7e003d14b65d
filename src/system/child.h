/* SPDX-License-Identifier: MIT */
/* A command that is started, and runs when it is told to: bpf.trace attaches its programs before that. */
#ifndef LBPF_CHILD_H
#define LBPF_CHILD_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: adds `child` to the functions of base/posix. */
LBPF_OPENER lbpf_child_open(lua_State *L);

LBPF_HIDDEN_END

#endif
