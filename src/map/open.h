/* SPDX-License-Identifier: MIT */
/* Opening maps that exist already, and pins. */
#ifndef LBPF_MAP_OPEN_H
#define LBPF_MAP_OPEN_H

#include <stdint.h>

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

struct lbpf_map;

/* Fills in the map at the top, whose fd is set, from the kernel's information. Returns 0 or an errno. */
int lbpf_map_describe(lua_State *L, struct lbpf_map *map);

/* Pushes a handle of the map with this kernel id and returns 0; or returns an errno and pushes nothing. */
int lbpf_map_push_id(lua_State *L, uint32_t id);

/* Opener: adds to the table `map` of the module table at the top. */
LBPF_OPENER lbpf_mapopen_open(lua_State *L);

LBPF_HIDDEN_END

#endif
