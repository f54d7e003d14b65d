/* SPDX-License-Identifier: MIT */
/* What an object declares of its maps: to be read, and to be set before the load. */
#ifndef LBPF_OBJECT_MAPSETTINGS_H
#define LBPF_OBJECT_MAPSETTINGS_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Applies the table of settings at idx to the map at map_idx, whose object isn't loaded yet. Raises what can't be set;
 * `what` begins the messages. */
void lbpf_mapsettings_apply(lua_State *L, int map_idx, int idx, const char *what);

/* Raises if a map has been closed that a script gave as the inner_map of one of the object at idx: libbpf has only the
 * number of its descriptor, which may be something else's by now. */
void lbpf_mapsettings_check(lua_State *L, int idx);

/* Opener: adds to the table `map` of the module table at the top. */
void lbpf_mapsettings_open(lua_State *L);

LBPF_HIDDEN_END

#endif
