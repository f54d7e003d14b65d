/* SPDX-License-Identifier: MIT */
/* Information about a map. */
#ifndef LBPF_MAP_INFO_H
#define LBPF_MAP_INFO_H

#include <linux/bpf.h>
#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Pushes a table with the fields of the kernel's information. */
void lbpf_mapinfo_push(lua_State *L, const struct bpf_map_info *info);

/* Opener: adds to the table `map` of the module table at the top. */
LBPF_OPENER lbpf_mapinfo_open(lua_State *L);

LBPF_HIDDEN_END

#endif
