/* SPDX-License-Identifier: MIT */
#include "map/room.h"

#include "map/map.h"

#define MOST_BATCH (1 << 20) /* bytes */
#define GROWTH 4	     /* from one batch to the next */

static size_t entry_bytes(const struct lbpf_map *map)
{
	return map->key_size + lbpf_map_bytes(map);
}

size_t lbpf_room_cursor(const struct lbpf_map *map)
{
	return (map->key_size + 15) / 8 * 8;
}

size_t lbpf_room_keys(const struct lbpf_map *map, uint32_t room)
{
	return ((size_t)room * map->key_size + 7) / 8 * 8;
}

size_t lbpf_room_bytes(const struct lbpf_map *map, uint32_t room)
{
	return 2 * lbpf_room_cursor(map) + lbpf_room_keys(map, room) + (size_t)room * lbpf_map_bytes(map);
}

uint32_t lbpf_room_in(const struct lbpf_map *map, size_t bytes)
{
	size_t room = bytes / entry_bytes(map);

	if (room > LBPF_BATCH_ENTRIES)
		room = LBPF_BATCH_ENTRIES;
	if (room > map->max_entries)
		room = map->max_entries;
	return room ? (uint32_t)room : 1;
}

uint32_t lbpf_room_first(const struct lbpf_map *map)
{
	return lbpf_room_in(map, LBPF_FIRST_BATCH);
}

uint32_t lbpf_room_next(const struct lbpf_map *map, uint32_t room)
{
	uint32_t most = lbpf_room_in(map, MOST_BATCH);

	if (room >= most)
		return room;
	return room < most / GROWTH ? room * GROWTH : most;
}
