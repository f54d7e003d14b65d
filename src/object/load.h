/* SPDX-License-Identifier: MIT */
/* Loading objects into the kernel. */
#ifndef LBPF_OBJECT_LOAD_H
#define LBPF_OBJECT_LOAD_H

#include <bpf/libbpf.h>
#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

struct lbpf_object;

/* Loads the object at idx. Returns 0, or how many values were pushed: nil, message, code, log. */
int lbpf_load(lua_State *L, int idx, struct lbpf_object *o);

/* Pushes the handle of a host's object, which stays the host's. Returns 0 or an errno; the handle is then closed, as it
 * is when this raises. */
int lbpf_load_push_borrowed(lua_State *L, struct bpf_object *obj);

/* Opener: adds `load` to the objects' methods. */
void lbpf_load_open(lua_State *L);

LBPF_HIDDEN_END

#endif
