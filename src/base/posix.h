/* SPDX-License-Identifier: MIT */
/* POSIX functions that our Lua modules need and Lua's libraries lack: poll(2), names of errors and users, terminals,
 * locks, and writing a file atomically. */
#ifndef LBPF_BASE_POSIX_H
#define LBPF_BASE_POSIX_H

#include <stddef.h>

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Writes a file atomically: other processes see either the old contents or all of the new text, even after a crash.
 * What is not a regular file, such as a pipe or device, is written directly. Returns 0 or an errno. */
int lbpf_posix_write_file(const char *path, const char *text, size_t size);

/* The same for a path that is no symbolic link and lies in a private folder (base/files). Only this user may read the
 * file. */
int lbpf_posix_write_private(const char *path, const char *text, size_t size);

/* Opener: gives the module table at the top a metatable through which it has the field "posix". */
LBPF_OPENER lbpf_posix_open(lua_State *L);

LBPF_HIDDEN_END

#endif
