/* SPDX-License-Identifier: MIT */
/* Which CPUs there are. */
#ifndef LBPF_SYSTEM_CPUS_H
#define LBPF_SYSTEM_CPUS_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: adds `cpus` to the module table at the top. */
LBPF_OPENER lbpf_cpus_open(lua_State *L);

LBPF_HIDDEN_END

#endif
