/* SPDX-License-Identifier: MIT */
/* File descriptors as arguments. */
#ifndef LBPF_MAP_DESCRIPTOR_H
#define LBPF_MAP_DESCRIPTOR_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* The descriptor that the value at idx is or has: an integer, an open file, or an object with a getfd method. Raises
 * for anything else. */
int lbpf_descriptor_arg(lua_State *L, int idx);

/* Pushes an owner for a descriptor and returns where to store the descriptor. The owner is a to-be-closed value: it
 * closes the descriptor when the running C function ends. */
int *lbpf_descriptor_push(lua_State *L);

/* Like lbpf_descriptor_arg, but also takes the path of a file, which is opened with these flags; an owner of the
 * descriptor is pushed then. Returns 0, or an errno with the reason in words at the top of the stack. */
int lbpf_descriptor_path(lua_State *L, int idx, int flags, int *fd);

LBPF_OPENER lbpf_descriptor_open(lua_State *L);

LBPF_HIDDEN_END

#endif
