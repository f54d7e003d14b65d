/* SPDX-License-Identifier: MIT */
/* Opening BTF, and the class of its handles. */
#ifndef LBPF_BTF_OPEN_H
#define LBPF_BTF_OPEN_H

#include <lua.h>

#include "base/compat.h"
#include "btf/btf.h"

LBPF_HIDDEN_BEGIN

/* Pushes a handle of BTF that belongs to the userdata at stack index `owner`, and keeps the userdata alive. Whoever
 * frees the BTF must clear the handle's field first. */
struct lbpf_btf *lbpf_btf_push_borrowed(lua_State *L, struct btf *btf, int owner, const char *name);

/* Opener: adds the table `btf` to the module table at the top. */
LBPF_OPENER lbpf_btf_open(lua_State *L);

LBPF_HIDDEN_END

#endif
