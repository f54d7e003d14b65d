/* SPDX-License-Identifier: MIT */
/* Where BTF comes from, and its class. */
#ifndef LBPF_BTF_OPEN_H
#define LBPF_BTF_OPEN_H

#include <lua.h>

#include "base/compat.h"
#include "btf/btf.h"

LBPF_HIDDEN_BEGIN

/* Pushes a handle of BTF that the userdata at stack index owner has, and keeps that alive. Who frees the BTF clears the
 * handle's field first. */
struct lbpf_btf *lbpf_btf_push_borrowed(lua_State *L, struct btf *btf, int owner, const char *name);

/* Opener: adds the table `btf` to the module table at the top. */
void lbpf_btf_open(lua_State *L);

/* Whether libbpf can be given a file to look for BTF in. That it isn't there, or has none, libbpf finds out where it
 * matters. Returns 0 or an errno, and why, or NULL. */
int lbpf_btfopen_check(const char *path, const char **cause);

LBPF_HIDDEN_END

#endif
