/* SPDX-License-Identifier: MIT */
/* The settings that an object declares for its maps: reading them, and changing them before the load. */
#ifndef LBPF_OBJECT_MAPSETTINGS_H
#define LBPF_OBJECT_MAPSETTINGS_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Applies the table of settings at idx to the map at map_idx, whose object isn't loaded yet. Raises for a setting that
 * can't be changed; messages begin with `what`. */
void lbpf_mapsettings_apply(lua_State *L, int map_idx, int idx, const char *what);

/* Raises if a map was closed that a script set as the inner_map of a map of the object at idx. libbpf has stored only
 * the number of its descriptor, which may refer to something else by now. */
void lbpf_mapsettings_check(lua_State *L, int idx);

/* Opener: adds to the table `map` of the module table at the top. */
LBPF_OPENER lbpf_mapsettings_open(lua_State *L);

LBPF_HIDDEN_END

#endif
