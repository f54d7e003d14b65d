/* SPDX-License-Identifier: MIT */
/* Iterating over a map by steps from key to key. The kernel's own steps may start over, return a key again and skip
 * keys. */
#ifndef LBPF_MAP_STEPS_H
#define LBPF_MAP_STEPS_H

#include <stdbool.h>
#include <stdint.h>

#include <lua.h>

#include "base/compat.h"
#include "map/seen.h"

struct lbpf_map;

LBPF_HIDDEN_BEGIN

/* All zeros: at the beginning. */
struct lbpf_steps {
	struct lbpf_seen seen;
	bool checking;	  /* at the end: looking for keys that were skipped */
	uint64_t checked; /* how many positions of `seen` have been checked */
	uint64_t calls;	  /* system calls for keys so far */
	uint32_t rounds;  /* how often the steps have begun again */
	bool again;	  /* keys were inserted or deleted meanwhile, so the steps must begin again */
};

/* Puts the next key that wasn't met before into `key`; `other` is room for one more key. The steps' memory is user
 * value `slot` of the walk at stack index idx. Returns 0 or an errno: ENOENT at the end, EAGAIN if others change the
 * map faster than the steps can follow. */
int lbpf_steps_next(lua_State *L, int idx, int slot, const struct lbpf_map *map, struct lbpf_steps *steps, uint8_t *key,
		    uint8_t *other);

LBPF_HIDDEN_END

#endif
