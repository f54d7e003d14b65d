/* SPDX-License-Identifier: MIT */
/* Operations on one entry of a map. */
#ifndef LBPF_MAP_OPS_H
#define LBPF_MAP_OPS_H

#include <stdint.h>

#include <lua.h>

#include "base/arg.h"
#include "base/compat.h"

LBPF_HIDDEN_BEGIN

struct lbpf_map;

/* "any", "noexist", "exist", "lock". */
extern const struct lbpf_name lbpf_update_flags[];

/* Deletes an entry. Returns 0 or an errno. It is ENOENT for an absent entry, even if the kernel uses another errno for
 * this kind of map. */
int lbpf_map_erase(const struct lbpf_map *map, const void *key);

/* Looks up an entry and deletes it. Returns 0 or an errno. Kernels before 5.14 do this only for queues and stacks, and
 * later kernels not for every kind. Otherwise it takes two system calls. */
int lbpf_map_take(const struct lbpf_map *map, const void *key, void *value, uint64_t flags);

/* Opener: adds to the table `map` of the module table at the top. */
LBPF_OPENER lbpf_mapops_open(lua_State *L);

LBPF_HIDDEN_END

#endif
