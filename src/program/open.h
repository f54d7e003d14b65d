/* SPDX-License-Identifier: MIT */
/* Opening programs that the kernel already has, by pin or id; and pins of programs. */
#ifndef LBPF_PROGRAM_OPEN_H
#define LBPF_PROGRAM_OPEN_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

struct lbpf_program;

/* Sets the name and type of the program, whose fd is set, from the kernel's information. Returns 0 or an errno. Calls
 * no Lua function. */
int lbpf_program_describe(struct lbpf_program *p);

/* Opener: adds methods to programs, and functions to the table `prog` of the module table at the top. */
LBPF_OPENER lbpf_progopen_open(lua_State *L);

LBPF_HIDDEN_END

#endif
