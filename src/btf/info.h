/* SPDX-License-Identifier: MIT */
/* Describes BTF types as Lua tables. */
#ifndef LBPF_BTF_INFO_H
#define LBPF_BTF_INFO_H

#include <stdint.h>

#include <lua.h>

#include "base/compat.h"
#include "btf/btf.h"

LBPF_HIDDEN_BEGIN

/* The open handle at index 1; raises otherwise. */
struct lbpf_btf *lbpf_btf_check(lua_State *L);

/* Calls fn with the arguments of a method. No finalizer runs meanwhile, because it could close the handle. */
int lbpf_btf_undisturbed(lua_State *L, lua_CFunction fn);

/* Raises unless a name or an id is at index 2. */
void lbpf_btf_check_which(lua_State *L);

/* The id of the type that the name or id at index 2 means, of the kind named at index 3 if `kind` isn't 0.
 * lbpf_btf_which returns -1 if there is no such type; lbpf_btf_need raises. 0 is void. */
int64_t lbpf_btf_which(lua_State *L, const struct lbpf_btf *handle, int kind);
uint32_t lbpf_btf_need(lua_State *L, const struct lbpf_btf *handle);

/* Methods. */
int lbpf_btf_find(lua_State *L);
int lbpf_btf_resolve(lua_State *L);
int lbpf_btf_types(lua_State *L);

LBPF_HIDDEN_END

#endif
