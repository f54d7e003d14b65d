/* SPDX-License-Identifier: MIT */
/* Programs that the kernel has already: by pin and id; and their pins. */
#ifndef LBPF_PROGOPEN_H
#define LBPF_PROGOPEN_H

#include <lua.h>

#include "compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: adds methods to programs, and functions to the table `prog` of the module table at the top. */
void lbpf_progopen_open(lua_State *L);

LBPF_HIDDEN_END

#endif
