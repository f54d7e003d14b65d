/* SPDX-License-Identifier: MIT */
/* Perf events: opening them by name. */
#ifndef LBPF_PERFEVENT_H
#define LBPF_PERFEVENT_H

#include <lua.h>

#include "compat.h"

LBPF_HIDDEN_BEGIN

/* Opens the event that the table at idx describes and pushes its owner, which the end of the C function that runs
 * closes. Returns an errno, with the reason in words, or nil, at the top of the stack. */
int lbpf_perfevent_open(lua_State *L, int idx, int *fd);

LBPF_HIDDEN_END

#endif
