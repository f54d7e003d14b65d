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

/* Deletes an entry. Returns an errno: ENOENT for one that isn't there, whatever the kernel calls that for this kind. */
int lbpf_map_erase(const struct lbpf_map *map, const void *key);

/* Looks the entry up and deletes it. Returns an errno. Kernels before 5.14 take entries out of queues and stacks only,
 * and some kinds have no such operation on any; there, two calls do it. */
int lbpf_map_take(const struct lbpf_map *map, const void *key, void *value, uint64_t flags);

/* Opener: adds to the table `map` of the module table at the top. */
void lbpf_mapops_open(lua_State *L);

LBPF_HIDDEN_END

#endif
