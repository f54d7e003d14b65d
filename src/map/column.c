/* SPDX-License-Identifier: MIT */
/* Columns: handles of a map that show only some members of its values.
 *
 * A column is a map handle like any other, with a descriptor of its own, so it is used wherever a map is. Its type of
 * values is a projection of the map's, and `at` says where in the kernel's values it begins. Its kind is a copy of the
 * map's without the operations that write. */
#include "map/column.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/err.h"
#include "map/map.h"
#include "value/project.h"

#define WRITING (LBPF_UPDATE | LBPF_DELETE | LBPF_TAKE | LBPF_PUSH | LBPF_POP)

struct column {
	struct lbpf_map map;
	struct lbpf_mapkind kind;
};

/* Pushes the type of a column: of the member or the members that the arguments from 2 on name. */
static struct lbpf_type *push_type(lua_State *L, const struct lbpf_map *from, uint32_t *at)
{
	if (!from->value || (from->kind->value && !(from->kind->can & LBPF_PERCPU)))
		lbpf_map_cannot(L, from, "members");
	if (lua_gettop(L) > 2)
		return lbpf_project_members(L, from->value, 2);
	return lbpf_project_member(L, from->value, 2, at);
}

/* Makes the closed handle a column of `from`, but for its descriptor. */
static void describe(struct column *column, const struct lbpf_map *from, struct lbpf_type *type, uint32_t at)
{
	struct lbpf_map *map = &column->map;

	memcpy((char *)map + sizeof(map->head), (const char *)from + sizeof(from->head),
	       sizeof(*map) - sizeof(map->head));
	column->kind = *from->kind;
	column->kind.can &= ~(uint32_t)WRITING;
	map->kind = &column->kind;
	map->fd = -1;
	map->owns_fd = true;
	map->of = NULL;
	map->btf = NULL;
	map->mem = (struct lbpf_mapmem){ 0 };
	map->value = type;
	map->at += at;
	map->column = true;
}

/*** Makes a handle that shows one member of a map's structs as the value: `ts[k]`, `pairs(ts)` and `map.sum(ts, k)`
make no table for the members that nobody reads. With several members, a value is a table of only these. Use it wherever
a map is read: by `pairs`, `map.lookup`, `map.lookup_batch`, `map.sums`, `bpf.metrics`. `map.unpack` returns several
members as values, in the order in which the column names them. Writing to a column raises an error.
@function bpf.map.column
@tparam bpf.map m whose values are structs
@tparam string member the member's name; that of a member of a member as a path, "addr.port"
@tparam string ... further members, by which a value is a table `{ [member] = … }`
@treturn bpf.map another handle of the same map, to be closed on its own
@treturn nil,string,string on failure: EMFILE
@usage
local counts <close> = map.column(hits, "count")
print(counts[1])  -- 5
for key, count in pairs(counts) do print(key, count) end -- 1  5 */
static int map_column(lua_State *L)
{
	struct lbpf_map *from = lbpf_map_check(L, 1, LBPF_LOOKUP, "column");
	struct lbpf_type *type;
	struct column *column;
	uint32_t at = 0;

	type = push_type(L, from, &at);
	lbpf_spare(L, LBPF_MAP_DESCRIPTORS);
	column = lbpf_class_new(L, &lbpf_map_class, sizeof(*column), LBPF_MAP_SLOTS);
	lbpf_map_check(L, 1, 0, "column"); /* a finalizer may have closed it */
	describe(column, from, type, at);
	lua_pushvalue(L, -2);
	lua_setiuservalue(L, -2, LBPF_MAP_VALUE);
	lua_getiuservalue(L, 1, LBPF_MAP_KEY);
	lua_setiuservalue(L, -2, LBPF_MAP_KEY);
	column->map.fd = fcntl(from->fd, F_DUPFD_CLOEXEC, 0);
	if (column->map.fd < 0)
		return lbpf_err_push(L, errno, NULL, "map '%s': column", lbpf_map_label(from));
	return 1;
}

void lbpf_column_open(lua_State *L)
{
	lua_getfield(L, -1, "map");
	lua_pushcfunction(L, map_column);
	lua_setfield(L, -2, "column");
	lua_pop(L, 1);
}
