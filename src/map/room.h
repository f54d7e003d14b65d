/* SPDX-License-Identifier: MIT */
/* How many entries of a map go into one batch, and how its buffer is divided. */
#ifndef LBPF_MAP_ROOM_H
#define LBPF_MAP_ROOM_H

#include <stddef.h>
#include <stdint.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Entries of a map that one system call moves at most: more bring nearly nothing. */
#define LBPF_BATCH_ENTRIES 256

/* Bytes of the first batch. */
#define LBPF_FIRST_BATCH 1024

struct lbpf_map;

/* How many entries of a map to fetch or send at once: to begin with, for maps mostly hold fewer than they can, as many
 * as fit in a kilobyte; then ever more up to 256, but no more than 1 MiB of them, nor than the map can have. */
uint32_t lbpf_room_first(const struct lbpf_map *map);
uint32_t lbpf_room_next(const struct lbpf_map *map, uint32_t room);

/* How many entries fit into so many bytes: at least one, and no more than the map can have. */
uint32_t lbpf_room_in(const struct lbpf_map *map, size_t bytes);

/* Bytes of a batch's cursor, of the keys of `room` entries, and of a buffer with two cursors, these keys and values. */
size_t lbpf_room_cursor(const struct lbpf_map *map);
size_t lbpf_room_keys(const struct lbpf_map *map, uint32_t room);
size_t lbpf_room_bytes(const struct lbpf_map *map, uint32_t room);

LBPF_HIDDEN_END

#endif
