/* SPDX-License-Identifier: MIT */
/* Iterating over a map, entry by entry. A walk is the state of one iteration. */
#ifndef LBPF_MAP_WALK_H
#define LBPF_MAP_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

struct lbpf_map;

enum lbpf_walk_what { LBPF_WALK_PAIRS, LBPF_WALK_KEYS, LBPF_WALK_DRAIN, LBPF_WALK_SUMS };

/* Pushes the function that steps a walk over the map at stack index map_idx, and the walk. Returns 2. */
int lbpf_walk_begin(lua_State *L, int map_idx, enum lbpf_walk_what what);

/* Counts the keys of the map at stack index map_idx. Raises if the kernel returns an error. */
lua_Integer lbpf_walk_count(lua_State *L, int map_idx);

/* Pushes a walk over the map at stack index map_idx, whose look-ups have these flags. */
void lbpf_walk_push(lua_State *L, int map_idx, uint64_t flags);

/* Raises unless argument idx is a walk over this map that lbpf_walk_push made. */
void lbpf_walk_check(lua_State *L, int idx, const struct lbpf_map *map);

/* Pushes the next key and value of the walk at idx, and returns true. Pushes nothing and returns false at the end, or
 * after a failure, whose errno is stored in *err. */
bool lbpf_walk_next(lua_State *L, int idx, int *err);

/* Opener: registers the classes. */
LBPF_OPENER lbpf_walk_open(lua_State *L);

LBPF_HIDDEN_END

#endif
