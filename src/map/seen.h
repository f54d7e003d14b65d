/* SPDX-License-Identifier: MIT */
/* The set of keys that a walk has met while stepping from key to key. */
#ifndef LBPF_MAP_SEEN_H
#define LBPF_MAP_SEEN_H

#include <stdbool.h>
#include <stdint.h>

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* A key's position is its number in the order in which keys were met. The three arrays are one piece of memory. All
 * zeros: the empty set. */
struct lbpf_seen {
	uint32_t *slots; /* hash table of positions + 1, with 2 * room slots; room is a power of two */
	uint32_t *trail; /* up to `room` positions of keys to go back to; the last one is the most recent */
	uint8_t *keys;	 /* the keys by position, up to `room` */
	uint32_t count, room, trail_count;
};

static inline const uint8_t *lbpf_seen_key(const struct lbpf_seen *seen, uint32_t position, uint32_t size)
{
	return seen->keys + (size_t)position * size;
}

/* Returns whether the set has the key; stores its position then. */
bool lbpf_seen_find(const struct lbpf_seen *seen, const uint8_t *key, uint32_t size, uint32_t *position);

/* Adds a key of the set to the end of the trail once more. A trail that is full begins again, empty. */
void lbpf_seen_follow(struct lbpf_seen *seen, uint32_t position);

/* Adds a key that the set doesn't have, to the set and to the end of the trail. The memory is kept by user value `slot`
 * of the value at stack index idx. */
void lbpf_seen_add(lua_State *L, int idx, int slot, struct lbpf_seen *seen, const uint8_t *key, uint32_t size);

LBPF_HIDDEN_END

#endif
