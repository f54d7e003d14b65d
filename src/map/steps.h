/* SPDX-License-Identifier: MIT */
/* Walking a map by steps from key to key, where the kernel's own steps start over, repeat and pass over. */
#ifndef LBPF_MAP_STEPS_H
#define LBPF_MAP_STEPS_H

#include <stdbool.h>
#include <stdint.h>

#include <lua.h>

#include "base/compat.h"
#include "map/seen.h"

struct lbpf_map;

LBPF_HIDDEN_BEGIN

/* Zeros begin one. */
struct lbpf_steps {
	struct lbpf_seen seen;
	bool checking;	  /* at the end, and looking over what was seen */
	uint64_t checked; /* positions in seen */
	uint64_t calls;	  /* for keys, so far */
	uint32_t rounds;  /* begun anew */
	bool again;	  /* to be */
};

/* Puts the next key that wasn't met before in `key`; `other` is room for one more. The steps' memory is user value
 * `slot` of the walk at stack index idx. Returns 0 or an errno: ENOENT at the end, EAGAIN when others change the map
 * faster than anybody could walk it. */
int lbpf_steps_next(lua_State *L, int idx, int slot, const struct lbpf_map *map, struct lbpf_steps *steps, uint8_t *key,
		    uint8_t *other);

LBPF_HIDDEN_END

#endif
