/* SPDX-License-Identifier: MIT */
/* The options of bpf.open that change something in the object. */
#ifndef LBPF_OBJECT_CONFIGURE_H
#define LBPF_OBJECT_CONFIGURE_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Applies the options `maps`, `vars` and `autoload` of the table at 2, if there is one, to the object at idx, which is
 * the top. `what` is the function that has the options. */
void lbpf_configure(lua_State *L, int idx, const char *what);

LBPF_HIDDEN_END

#endif
