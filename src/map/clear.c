/* SPDX-License-Identifier: MIT */
/* Deleting all entries of a map: in batches if the kernel has them for the map, otherwise one by one. */
#include "map/clear.h"

#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "map/map.h"
#include "map/ops.h"
#include "map/room.h"

struct clearing {
	struct lbpf_map *map;
	uint8_t *keys, *values;
	uint32_t room;
	lua_Integer done;
};

/* Pushes memory for `room` entries. */
static void clearing_set_room(lua_State *L, struct clearing *c, uint32_t room)
{
	size_t keys = ((size_t)room * c->map->key_size + 7) / 8 * 8;

	c->keys = lua_newuserdatauv(L, keys + (size_t)room * lbpf_map_bytes(c->map), 0);
	c->values = c->keys + keys;
	c->room = room;
}

/* Deletes in one pass over the buckets. Entries that others insert meanwhile may stay. Returns 0 or an errno; EINVAL at
 * the first call if this kernel has no such batches. */
static int clear_batched(lua_State *L, struct clearing *c)
{
	uint32_t cursor = 0;
	bool first = true;

	for (;;) {
		uint32_t count = c->room;
		int err = bpf_map_lookup_and_delete_batch(c->map->fd, first ? NULL : &cursor, &cursor, c->keys,
							  c->values, &count, NULL)
			? errno
			: 0;

		if (err == ENOSPC) {
			clearing_set_room(L, c, 2 * c->room);
			lua_replace(L, -2);
			continue;
		}
		if (err && err != ENOENT)
			return err;
		c->done += count;
		first = false;
		if (err)
			return 0;
		if (c->room < lbpf_room_next(c->map, c->room)) {
			clearing_set_room(L, c, lbpf_room_next(c->map, c->room));
			lua_replace(L, -2);
		}
	}
}

/* Makes at most as many steps as the map can have entries. Otherwise a process that keeps inserting could keep this
 * loop running for ever. */
static int clear_by_key(struct clearing *c)
{
	for (uint32_t n = 0; n < c->map->max_entries; n++) {
		if (bpf_map_get_next_key(c->map->fd, NULL, c->keys))
			return errno == ENOENT ? 0 : errno;
		if (bpf_map_delete_elem(c->map->fd, c->keys) == 0)
			c->done++;
		else if (errno != ENOENT)
			return errno;
	}
	return 0;
}

/* Empties slots of references, and sets other slots to zero. */
static int clear_slots(struct clearing *c)
{
	bool empty = c->map->kind->can & LBPF_DELETE;

	memset(c->values, 0, lbpf_map_bytes(c->map));
	for (uint32_t i = 0; i < c->map->max_entries; i++) {
		int err = empty ? lbpf_map_erase(c->map, &i) : 0;

		if (!empty && bpf_map_update_elem(c->map->fd, &i, c->values, BPF_ANY))
			err = errno;
		if (err && err != ENOENT)
			return err;
		c->done += !err;
	}
	return 0;
}

static int clear_queue(struct clearing *c)
{
	for (uint32_t n = 0; n < c->map->max_entries; n++, c->done++)
		if (bpf_map_lookup_and_delete_elem(c->map->fd, NULL, c->values))
			return errno == ENOENT ? 0 : errno;
	return 0;
}

/*** Deletes all entries of a map and returns their number. In an array, it sets every slot to zero; if the slots hold
references, it empties them. A queue or stack becomes empty. Entries that others insert meanwhile may remain. Hashes are
cleared in batches of up to 256 entries where the kernel has batches. Otherwise each slot, element or entry takes one or
two system calls.
@function bpf.map.clear
@tparam bpf.map m
@treturn integer the number of entries deleted, or of slots set
@treturn nil,string,string on failure
@usage
assert(map.clear(m) == 3 and #m == 0)
@see bpf_map_lookup_and_delete_batch */
static int map_clear(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, 0, "clear");
	struct clearing c = { .map = map };
	uint32_t can = map->kind->can;
	int err;

	if (map->column ||
	    (!(can & (LBPF_POP | LBPF_INDEXED)) && (can & (LBPF_DELETE | LBPF_WALK)) != (LBPF_DELETE | LBPF_WALK)))
		lbpf_map_cannot(L, map, "clear");
	lua_settop(L, 1);
	clearing_set_room(L, &c, can & LBPF_BATCH && !(can & LBPF_INDEXED) ? lbpf_room_first(map) : 1);
	if (can & LBPF_POP)
		err = clear_queue(&c);
	else if (can & LBPF_INDEXED)
		err = clear_slots(&c);
	else if (!(can & LBPF_BATCH) ||
		 ((err = clear_batched(L, &c)) && c.done == 0 && (err == EINVAL || err == ENOTSUPP)))
		err = clear_by_key(&c);
	if (err)
		return lbpf_map_fail(L, map, err, "clear");
	lua_pushinteger(L, c.done);
	return 1;
}

static const luaL_Reg map_functions[] = {
	{ "clear", map_clear },
	{ NULL, NULL },
};

void lbpf_clear_open(lua_State *L)
{
	lua_getfield(L, -1, "map");
	luaL_setfuncs(L, map_functions, 0);
	lua_pop(L, 1);
}
