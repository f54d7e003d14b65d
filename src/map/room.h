/* SPDX-License-Identifier: MIT */
/* How many entries of a map go into one batch, and how its buffer is divided. */
#ifndef LBPF_MAP_ROOM_H
#define LBPF_MAP_ROOM_H

#include <stddef.h>
#include <stdint.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* How many entries one system call moves at most. More would save almost no time. */
#define LBPF_BATCH_ENTRIES 256

/* Bytes of the first batch. */
#define LBPF_FIRST_BATCH 1024

struct lbpf_map;

/* How many entries to fetch or send per system call. The first batch has as many as fit into a kilobyte, because most
 * maps hold fewer entries than they can. Each later batch is four times as large, up to 256 entries, 1 MiB, and the
 * number of entries that the map can have. */
uint32_t lbpf_room_first(const struct lbpf_map *map);
uint32_t lbpf_room_next(const struct lbpf_map *map, uint32_t room);

/* How many entries fit into so many bytes: at least 1, and at most 256 and the number that the map can have. */
uint32_t lbpf_room_in(const struct lbpf_map *map, size_t bytes);

/* Bytes of a batch's cursor; of the keys of `room` entries; and of a buffer with two cursors, `room` keys and `room`
 * values. */
size_t lbpf_room_cursor(const struct lbpf_map *map);
size_t lbpf_room_keys(const struct lbpf_map *map, uint32_t room);
size_t lbpf_room_bytes(const struct lbpf_map *map, uint32_t room);

LBPF_HIDDEN_END

#endif
