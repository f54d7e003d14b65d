/* SPDX-License-Identifier: MIT */
/* bpf.cgroup_path, bpf.interface_name. */
#ifndef LBPF_SYSTEM_NAMES_H
#define LBPF_SYSTEM_NAMES_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Adds them to the module table at the top. */
LBPF_OPENER lbpf_names_open(lua_State *L);

LBPF_HIDDEN_END

#endif
