/* SPDX-License-Identifier: MIT */
/* What BTF says about its types, as tables. */
#ifndef LBPF_BTF_INFO_H
#define LBPF_BTF_INFO_H

#include <stdint.h>

#include <lua.h>

#include "base/compat.h"
#include "btf/btf.h"

LBPF_HIDDEN_BEGIN

/* The handle at 1; raises when it is anything else or closed. */
struct lbpf_btf *lbpf_btf_check(lua_State *L);

/* Calls fn with the arguments that a method got, with no finalizer run in between that could close the handle. */
int lbpf_btf_undisturbed(lua_State *L, lua_CFunction fn);

/* Raises unless there is a name or an id at 2. */
void lbpf_btf_check_which(lua_State *L);

/* The id that the name or id at 2 means, with the kind named at 3 if kind isn't 0. Raises, or returns -1, if it means
 * none: void is 0. */
int64_t lbpf_btf_which(lua_State *L, const struct lbpf_btf *handle, int kind);
uint32_t lbpf_btf_need(lua_State *L, const struct lbpf_btf *handle);

/* Methods. */
int lbpf_btf_find(lua_State *L);
int lbpf_btf_resolve(lua_State *L);
int lbpf_btf_types(lua_State *L);

LBPF_HIDDEN_END

#endif
