/* SPDX-License-Identifier: MIT */
/* Walking a map: pairs, keys and the length operator. */
#ifndef LBPF_MAP_WALK_H
#define LBPF_MAP_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Entries of a map that one system call moves at most: more bring nearly nothing. */
#define LBPF_BATCH_ENTRIES 256

struct lbpf_map;

/* How many entries of a map to fetch or send at once: to begin with, for maps mostly hold fewer than they can, as many
 * as fit in a kilobyte; then ever more up to 256, but no more than 1 MiB of them, nor than the map can have. */
uint32_t lbpf_walk_first_room(const struct lbpf_map *map);
uint32_t lbpf_walk_next_room(const struct lbpf_map *map, uint32_t room);

/* Pushes a walk over the map at stack index map_idx, whose look-ups have these flags. */
void lbpf_walk_push(lua_State *L, int map_idx, uint64_t flags);

/* Raises unless a walk over this map, made by lbpf_walk_push, is argument idx. */
void lbpf_walk_check(lua_State *L, int idx, const struct lbpf_map *map);

/* Pushes the next key and value of the walk at idx; pushes nothing at the end, or when an errno is stored in *err. */
bool lbpf_walk_next(lua_State *L, int idx, int *err);

/* Opener: adds to the map class and to the table `map` of the module table at the top. */
void lbpf_walk_open(lua_State *L);

LBPF_HIDDEN_END

#endif
