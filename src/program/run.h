/* SPDX-License-Identifier: MIT */
/* Running programs on data that the script gives, and statistics of all runs. */
#ifndef LBPF_PROGRAM_RUN_H
#define LBPF_PROGRAM_RUN_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: adds `run` to programs, and `enable_stats` to the module table at the top. */
LBPF_OPENER lbpf_progrun_open(lua_State *L);

LBPF_HIDDEN_END

#endif
