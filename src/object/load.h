/* SPDX-License-Identifier: MIT */
/* Loading objects into the kernel. */
#ifndef LBPF_OBJECT_LOAD_H
#define LBPF_OBJECT_LOAD_H

#include <bpf/libbpf.h>
#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

struct lbpf_object;

/* Loads the object at idx. Returns 0, or the number of values that were pushed for a failure: nil, message, code,
 * log. */
int lbpf_load(lua_State *L, int idx, struct lbpf_object *o);

/* Pushes a handle of a host's object, which the host keeps owning. Returns 0 or an errno. After an errno, or if this
 * raises, the handle is closed. */
int lbpf_load_push_borrowed(lua_State *L, struct bpf_object *obj);

/* Opener: adds `load` to the objects' methods. */
LBPF_OPENER lbpf_load_open(lua_State *L);

LBPF_HIDDEN_END

#endif
