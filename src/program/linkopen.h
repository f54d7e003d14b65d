/* SPDX-License-Identifier: MIT */
/* Opening links that exist already, by pin or id. */
#ifndef LBPF_PROGRAM_LINKOPEN_H
#define LBPF_PROGRAM_LINKOPEN_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: adds the table `link` to the module table at the top. */
LBPF_OPENER lbpf_linkopen_open(lua_State *L);

LBPF_HIDDEN_END

#endif
