/* SPDX-License-Identifier: MIT */
/* File descriptors as arguments. */
#ifndef LBPF_DESCRIPTOR_H
#define LBPF_DESCRIPTOR_H

#include <lua.h>

#include "compat.h"

LBPF_HIDDEN_BEGIN

/* The descriptor at idx: an integer, an open file, or an object with a getfd method. Raises for anything else. */
int lbpf_descriptor_arg(lua_State *L, int idx);

void lbpf_descriptor_open(lua_State *L);

LBPF_HIDDEN_END

#endif
