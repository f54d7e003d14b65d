/* SPDX-License-Identifier: MIT */
/* What this kernel supports for this process. */
#ifndef LBPF_SYSTEM_FEATURES_H
#define LBPF_SYSTEM_FEATURES_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: adds the table `features` to the module table at the top. */
LBPF_OPENER lbpf_features_open(lua_State *L);

LBPF_HIDDEN_END

#endif
