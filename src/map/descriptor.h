/* SPDX-License-Identifier: MIT */
/* File descriptors as arguments. */
#ifndef LBPF_MAP_DESCRIPTOR_H
#define LBPF_MAP_DESCRIPTOR_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* The descriptor at idx: an integer, an open file, or an object with a getfd method. Raises for anything else. */
int lbpf_descriptor_arg(lua_State *L, int idx);

/* Pushes the owner of a descriptor, to store one in, that the end of the C function which runs closes. */
int *lbpf_descriptor_push(lua_State *L);

/* The same, or the path of a file to open with these flags, whose owner is pushed. Returns an errno, with the reason in
 * words at the top of the stack. */
int lbpf_descriptor_path(lua_State *L, int idx, int flags, int *fd);

void lbpf_descriptor_open(lua_State *L);

LBPF_HIDDEN_END

#endif
