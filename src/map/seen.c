/* SPDX-License-Identifier: MIT */
/* A set of keys that remembers the order in which they were met. Its memory is allocated by Lua. */
#include "map/seen.h"

#include <string.h>

#define ROOM 16 /* keys, at the beginning */

static uint32_t seen_hash(const uint8_t *key, uint32_t size)
{
	uint32_t h = 2166136261u;

	for (uint32_t i = 0; i < size; i++)
		h = (h ^ key[i]) * 16777619u;
	return h ^ h >> 15;
}

/* Returns the slot of the hash table that holds the key, or the free slot where the key belongs. */
static uint32_t *seen_slot(const struct lbpf_seen *seen, const uint8_t *key, uint32_t size)
{
	uint32_t mask = 2 * seen->room - 1, i = seen_hash(key, size) & mask;

	while (seen->slots[i] && memcmp(seen->keys + (size_t)(seen->slots[i] - 1) * size, key, size) != 0)
		i = (i + 1) & mask;
	return &seen->slots[i];
}

bool lbpf_seen_find(const struct lbpf_seen *seen, const uint8_t *key, uint32_t size, uint32_t *position)
{
	uint32_t found = seen->room ? *seen_slot(seen, key, size) : 0;

	*position = found - 1;
	return found;
}

void lbpf_seen_follow(struct lbpf_seen *seen, uint32_t position)
{
	if (seen->trail_count == seen->room)
		seen->trail_count = 0;
	seen->trail[seen->trail_count++] = position;
}

static void seen_grow(lua_State *L, int idx, int slot, struct lbpf_seen *seen, uint32_t size)
{
	uint32_t room = seen->room ? 2 * seen->room : ROOM;
	size_t positions = 3 * (size_t)room;
	uint32_t *slots = lua_newuserdatauv(L, positions * sizeof(*slots) + (size_t)room * size, 0);
	uint32_t *trail = slots + 2 * (size_t)room;
	uint8_t *keys = (uint8_t *)(slots + positions);

	if (seen->room) {
		memcpy(keys, seen->keys, (size_t)seen->count * size);
		memcpy(trail, seen->trail, seen->trail_count * sizeof(*trail));
	}
	memset(slots, 0, 2 * (size_t)room * sizeof(*slots));
	lua_setiuservalue(L, idx, slot);
	seen->slots = slots;
	seen->trail = trail;
	seen->keys = keys;
	seen->room = room;
	for (uint32_t i = 0; i < seen->count; i++)
		*seen_slot(seen, keys + (size_t)i * size, size) = i + 1;
}

void lbpf_seen_add(lua_State *L, int idx, int slot, struct lbpf_seen *seen, const uint8_t *key, uint32_t size)
{
	if (seen->count == seen->room)
		seen_grow(L, idx, slot, seen, size);
	memcpy(seen->keys + (size_t)seen->count * size, key, size);
	lbpf_seen_follow(seen, seen->count);
	*seen_slot(seen, key, size) = ++seen->count;
}
