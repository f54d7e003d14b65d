/* SPDX-License-Identifier: MIT */
/* Signal handles: a script takes signals as events. */
#ifndef LBPF_BASE_SIGNALS_H
#define LBPF_BASE_SIGNALS_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: adds bpf.signals to the module table. */
LBPF_OPENER lbpf_signals_open(lua_State *L);

LBPF_HIDDEN_END

#endif
