/* SPDX-License-Identifier: MIT */
/* The settings that an object declares for its programs. */
#ifndef LBPF_PROGRAM_SETTINGS_H
#define LBPF_PROGRAM_SETTINGS_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: adds methods to programs. */
LBPF_OPENER lbpf_progsettings_open(lua_State *L);

LBPF_HIDDEN_END

#endif
