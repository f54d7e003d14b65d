/* SPDX-License-Identifier: MIT */
/* Information about a program: the kernel's, and what its object declares. */
#ifndef LBPF_PROGRAM_INFO_H
#define LBPF_PROGRAM_INFO_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: adds the method `info` to programs. */
LBPF_OPENER lbpf_proginfo_open(lua_State *L);

LBPF_HIDDEN_END

#endif
