/* SPDX-License-Identifier: MIT */
/* Information about a map: from the kernel, and from the object that declares it. */
#include "map/info.h"

#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/arg.h"
#include "base/err.h"
#include "map/map.h"

static void set_type(lua_State *L, uint32_t type)
{
	const char *name = libbpf_bpf_map_type_str((enum bpf_map_type)type);

	if (!name)
		name = lbpf_mapkind_of(type)->name;
	lbpf_set_string(L, "type", name);
	if (strcmp(name, "other") == 0)
		lbpf_set_integer(L, "type_number", type);
}

/* Adds the fields that both the kernel and an object have. */
static void set_fields(lua_State *L, const struct bpf_map_info *info)
{
	set_type(L, info->type);
	lbpf_set_integer(L, "key_size", info->key_size);
	lbpf_set_integer(L, "value_size", info->value_size);
	lbpf_set_integer(L, "max_entries", info->max_entries);
	lbpf_set_integer(L, "map_flags", info->map_flags);
	lbpf_set_integer(L, "ifindex", info->ifindex);
	lbpf_set_integer(L, "btf_key_type_id", info->btf_key_type_id);
	lbpf_set_integer(L, "btf_value_type_id", info->btf_value_type_id);
	lbpf_set_integer(L, "map_extra", (lua_Integer)info->map_extra);
}

void lbpf_mapinfo_push(lua_State *L, const struct bpf_map_info *info)
{
	lua_createtable(L, 0, 13);
	set_fields(L, info);
	lbpf_set_string(L, "name", info->name);
	lbpf_set_integer(L, "id", info->id);
	lbpf_set_integer(L, "btf_id", info->btf_id);
}

/* Returns how many values were pushed. */
static int push_known(lua_State *L, const struct lbpf_map *map)
{
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(map->fd, &info, &len))
		return lbpf_map_fail(L, map, errno, "info");
	lbpf_mapinfo_push(L, &info);
	if (map->column) {
		lua_pushboolean(L, 1);
		lua_setfield(L, -2, "column");
	}
	return 1;
}

/* A copy of libbpf's information about a declared map, because a finalizer may close the object while a table is
 * made. */
struct declared {
	struct bpf_map_info info; /* fields that only the kernel has are 0 */
	uint32_t numa_node;
	bool autocreate, is_internal;
};

static struct declared read_declared(const struct bpf_map *of)
{
	return (struct declared){
		.info = { .type = (uint32_t)bpf_map__type(of),
			  .key_size = bpf_map__key_size(of),
			  .value_size = bpf_map__value_size(of),
			  .max_entries = bpf_map__max_entries(of),
			  .map_flags = bpf_map__map_flags(of),
			  .ifindex = bpf_map__ifindex(of),
			  .btf_key_type_id = bpf_map__btf_key_type_id(of),
			  .btf_value_type_id = bpf_map__btf_value_type_id(of),
			  .map_extra = bpf_map__map_extra(of) },
		.numa_node = bpf_map__numa_node(of),
		.autocreate = bpf_map__autocreate(of),
		.is_internal = bpf_map__is_internal(of),
	};
}

/* Adds the fields that only libbpf has to the table at the top. */
static void add_own(lua_State *L, const struct declared *d)
{
	lbpf_set_integer(L, "numa_node", d->numa_node);
	lua_pushboolean(L, d->autocreate);
	lua_setfield(L, -2, "autocreate");
	lua_pushboolean(L, d->is_internal);
	lua_setfield(L, -2, "is_internal");
}

/* Pushes a table of what is declared, with the name at idx. */
static void push_declared(lua_State *L, const struct declared *d, int idx)
{
	lua_createtable(L, 0, 16);
	set_fields(L, &d->info);
	add_own(L, d);
	lua_pushvalue(L, idx);
	lua_setfield(L, -2, "name");
}

/* The map's own, because a finalizer may have closed the map while values were pushed. */
static struct bpf_map *declared_of(lua_State *L, const struct lbpf_map *map)
{
	if (!map->of)
		lbpf_map_unusable(L, map);
	return map->of;
}

/* Push a declared setting, or nil: the path of the pin, the initial bytes, the name of the inner map. */
static void push_texts(lua_State *L, const struct lbpf_map *map)
{
	struct bpf_map *of = declared_of(L, map), *inner;
	const void *bytes;
	size_t size = 0;

	lua_pushstring(L, bpf_map__pin_path(of));
	of = declared_of(L, map);
	bytes = map->fd < 0 && bpf_map__is_internal(of) ? bpf_map__initial_value(of, &size) : NULL;
	if (bytes)
		lua_pushlstring(L, bytes, size);
	else
		lua_pushnil(L);
	inner = bpf_map__inner_map(declared_of(L, map));
	lua_pushstring(L, inner ? bpf_map__name(inner) : NULL);
}

/* Pushes the information about the map at 1, the top, which an object declares. Returns how many values were pushed. */
static int push_of_object(lua_State *L, const struct lbpf_map *map)
{
	struct declared own, template = { 0 };
	struct bpf_map *inner;
	int pushed;

	push_texts(L, map);
	lua_pushstring(L, map->name);
	own = read_declared(declared_of(L, map));
	inner = lua_isnil(L, 4) ? NULL : bpf_map__inner_map(map->of);
	if (inner)
		template = read_declared(inner);
	if (map->fd < 0) {
		push_declared(L, &own, 5);
	} else {
		pushed = push_known(L, map);
		if (pushed != 1)
			return pushed;
		add_own(L, &own);
	}
	if (inner) {
		push_declared(L, &template, 4);
		lua_setfield(L, -2, "inner_map");
	}
	lua_pushvalue(L, 2);
	lua_setfield(L, -2, "pin_path");
	lua_pushvalue(L, 3);
	lua_setfield(L, -2, "initial_value");
	return 1;
}

/*** Returns what the kernel knows about a map. Before the map's object is loaded, it returns what the object declares.

- Every map has the fields of the kernel's `struct bpf_map_info`: `id`, `type`, `name`, `key_size`, `value_size`,
  `max_entries`, `map_flags`, `ifindex`, `btf_id`, `btf_key_type_id`, `btf_value_type_id`, `map_extra`. `type` is the
  name of the type. A type without a name is "other", and `type_number` has its number.
- A handle of `bpf.map.column` has `column`, which is true. Its other fields are the map's.
- A map of an object also has libbpf's `numa_node`, `autocreate`, `is_internal` (true if it holds variables) and
  `pin_path`.

Before the load, a map has no `id` and no `btf_id`. It may have `inner_map`, the same fields for the declared inner
maps, and `initial_value`, the bytes of a section of variables, with or without BTF.
@function bpf.map.info
@tparam bpf.map m
@treturn table the fields
@treturn nil,string,string on failure
@usage
local info = assert(map.info(m))
print(info.id, info.type, info.max_entries)  -- 57  hash  16
@see bpf_obj_get_info_by_fd */
static int map_info(lua_State *L)
{
	struct lbpf_map *map = lbpf_class_check(L, 1, &lbpf_map_class);

	if (map->fd < 0 && !map->of)
		lbpf_map_unusable(L, map);
	lua_settop(L, 1);
	return map->of ? push_of_object(L, map) : push_known(L, map);
}

void lbpf_mapinfo_open(lua_State *L)
{
	lua_getfield(L, -1, "map");
	lua_pushcfunction(L, map_info);
	lua_setfield(L, -2, "info");
	lua_pop(L, 1);
}
