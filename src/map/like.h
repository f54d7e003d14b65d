/* SPDX-License-Identifier: MIT */
/* What a new map is to be like: another map, or the template of a map of maps. */
#ifndef LBPF_MAP_LIKE_H
#define LBPF_MAP_LIKE_H

#include <stdint.h>

#include <bpf/libbpf.h>
#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

struct lbpf_map;

struct lbpf_like {
	/* Has the sizes, the types and the flags. The handle may be closed; a template that an object declares is. */
	struct lbpf_map *map;
	const struct lbpf_map *outer; /* the map of maps that was given, or NULL */
};

/* Gives the map of maps at the top a template: what its object declares for the inner maps. Called before the load,
 * when libbpf drops the declaration. Does nothing for other maps. */
void lbpf_like_declare(lua_State *L);

/* Pushes the map that the map at idx means: itself; or for a map of maps its template, or one of its maps. If the
 * template was made of options, pushes their table instead. Returns 0, or the number of values that were pushed for a
 * failure. */
int lbpf_like_push(lua_State *L, int idx, struct lbpf_like *like);

/* Returns a descriptor of the BTF of the map's types, which the caller closes, and stores their ids. -1 if there is
 * none, or this process may not open it. */
int lbpf_like_btf(const struct lbpf_like *like, uint32_t *key_id, uint32_t *value_id);

LBPF_HIDDEN_END

#endif
