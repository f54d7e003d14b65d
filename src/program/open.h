/* SPDX-License-Identifier: MIT */
/* Programs that the kernel has already: by pin and id; and their pins. */
#ifndef LBPF_PROGRAM_OPEN_H
#define LBPF_PROGRAM_OPEN_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

struct lbpf_program;

/* Names the program, whose fd is set, as the kernel does. Returns an errno; calls nothing of Lua's. */
int lbpf_program_describe(struct lbpf_program *p);

/* Opener: adds methods to programs, and functions to the table `prog` of the module table at the top. */
void lbpf_progopen_open(lua_State *L);

LBPF_HIDDEN_END

#endif
