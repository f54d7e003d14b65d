/* SPDX-License-Identifier: MIT */
/* The kernel's clocks, the dates of their times, and sleeping. */
#ifndef LBPF_BASE_CLOCK_H
#define LBPF_BASE_CLOCK_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: adds clock, walltime and sleep to the module table. */
LBPF_OPENER lbpf_clock_open(lua_State *L);

LBPF_HIDDEN_END

#endif
