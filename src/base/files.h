/* SPDX-License-Identifier: MIT */
/* What a cache needs to know of files: their contents' digest, what makes a program what it is, and folders and files
 * that nobody but this user can have written. */
#ifndef LBPF_BASE_FILES_H
#define LBPF_BASE_FILES_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Adds the functions to the table at the top. */
LBPF_OPENER lbpf_files_open(lua_State *L);

LBPF_HIDDEN_END

#endif
