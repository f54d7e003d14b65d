/* SPDX-License-Identifier: MIT */
/* Attaching programs. */
#ifndef LBPF_ATTACH_H
#define LBPF_ATTACH_H

#include <lua.h>

#include "compat.h"

LBPF_HIDDEN_BEGIN

#define LBPF_ATTACH_NOWHERE (-1)

/* Attaches program prog_idx by its section and pushes the link, which belongs to the object at owner. Returns 0, or
 * with nil, message and code pushed the errno, or LBPF_ATTACH_NOWHERE when the section doesn't say where. */
int lbpf_attach_auto(lua_State *L, int prog_idx, int owner);

/* Opener: adds the attach_* methods to programs. */
void lbpf_attach_open(lua_State *L);

LBPF_HIDDEN_END

#endif
