/* SPDX-License-Identifier: MIT */
/* The output of iterator programs, and the text that all programs print to the kernel's trace pipe. */
#ifndef LBPF_PROGRAM_ITER_H
#define LBPF_PROGRAM_ITER_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: adds methods to links, and the function `printk` to the module table at the top. */
LBPF_OPENER lbpf_iter_open(lua_State *L);

LBPF_HIDDEN_END

#endif
