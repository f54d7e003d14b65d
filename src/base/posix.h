/* SPDX-License-Identifier: MIT */
/* What our Lua modules need of the system and Lua's libraries lack: a clock, poll(2), names of errors, locks; and files
 * that are written whole or not at all. */
#ifndef LBPF_BASE_POSIX_H
#define LBPF_BASE_POSIX_H

#include <stddef.h>

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Writes a file: others see what was there before, or all of the new text, also after a crash. What is no regular file,
 * a pipe or a device, is written as it is. Returns 0 or an errno. */
int lbpf_posix_write_file(const char *path, const char *text, size_t size);

/* Opener: gives the module table at the top a metatable, by which it has the field "posix". */
void lbpf_posix_open(lua_State *L);

LBPF_HIDDEN_END

#endif
