/* SPDX-License-Identifier: MIT */
/* The keys that a walk has met while stepping. */
#ifndef LBPF_MAP_SEEN_H
#define LBPF_MAP_SEEN_H

#include <stdbool.h>
#include <stdint.h>

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Positions are the order of meeting. All three are one piece of memory. Zeros are the empty set. */
struct lbpf_seen {
	uint32_t *slots; /* hash table of positions + 1, 2 * room of them, room a power of two */
	uint32_t *trail; /* room positions to go back to, the last one on top */
	uint8_t *keys;	 /* room keys */
	uint32_t count, room, trail_count;
};

static inline const uint8_t *lbpf_seen_key(const struct lbpf_seen *seen, uint32_t position, uint32_t size)
{
	return seen->keys + (size_t)position * size;
}

/* Whether the key is there; then also where. */
bool lbpf_seen_find(const struct lbpf_seen *seen, const uint8_t *key, uint32_t size, uint32_t *position);

/* Puts a key that is there on the trail once more. A full trail begins anew. */
void lbpf_seen_follow(struct lbpf_seen *seen, uint32_t position);

/* Adds a key that isn't there, and puts it on the trail. Its memory is kept by user value `slot` of what is at stack
 * index idx. */
void lbpf_seen_add(lua_State *L, int idx, int slot, struct lbpf_seen *seen, const uint8_t *key, uint32_t size);

LBPF_HIDDEN_END

#endif
