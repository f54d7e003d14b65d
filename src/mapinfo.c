/* SPDX-License-Identifier: MIT */
/* What is known about a map: what the kernel has, and what an object declares. */
#include "mapinfo.h"

#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "arg.h"
#include "err.h"
#include "map.h"

static void set_type(lua_State *L, uint32_t type)
{
	const char *name = libbpf_bpf_map_type_str((enum bpf_map_type)type);

	if (!name)
		name = lbpf_mapkind_of(type)->name;
	lbpf_set_string(L, "type", name);
	if (strcmp(name, "other") == 0)
		lbpf_set_integer(L, "type_number", type);
}

void lbpf_mapinfo_push(lua_State *L, const struct bpf_map_info *info)
{
	lua_createtable(L, 0, 13);
	set_type(L, info->type);
	lbpf_set_string(L, "name", info->name);
	lbpf_set_integer(L, "id", info->id);
	lbpf_set_integer(L, "key_size", info->key_size);
	lbpf_set_integer(L, "value_size", info->value_size);
	lbpf_set_integer(L, "max_entries", info->max_entries);
	lbpf_set_integer(L, "map_flags", info->map_flags);
	lbpf_set_integer(L, "ifindex", info->ifindex);
	lbpf_set_integer(L, "btf_id", info->btf_id);
	lbpf_set_integer(L, "btf_key_type_id", info->btf_key_type_id);
	lbpf_set_integer(L, "btf_value_type_id", info->btf_value_type_id);
	lbpf_set_integer(L, "map_extra", (lua_Integer)info->map_extra);
}

/* Returns how many values were pushed. */
static int push_known(lua_State *L, const struct lbpf_map *map)
{
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(map->fd, &info, &len))
		return lbpf_map_fail(L, map, errno, "info");
	lbpf_mapinfo_push(L, &info);
	return 1;
}

/* Adds to the table at the top what only libbpf knows. */
static void add_own(lua_State *L, const struct bpf_map *of)
{
	lbpf_set_integer(L, "numa_node", bpf_map__numa_node(of));
	lua_pushboolean(L, bpf_map__autocreate(of));
	lua_setfield(L, -2, "autocreate");
	lua_pushboolean(L, bpf_map__is_internal(of));
	lua_setfield(L, -2, "is_internal");
	if (bpf_map__pin_path(of))
		lbpf_set_string(L, "pin_path", bpf_map__pin_path(of));
}

/* Pushes a table of what is declared. */
static void push_declared(lua_State *L, struct bpf_map *of, const char *name)
{
	struct bpf_map *inner;
	const void *bytes;
	size_t size;

	luaL_checkstack(L, 6, NULL);
	lua_createtable(L, 0, 16);
	set_type(L, (uint32_t)bpf_map__type(of));
	lbpf_set_string(L, "name", name);
	lbpf_set_integer(L, "key_size", bpf_map__key_size(of));
	lbpf_set_integer(L, "value_size", bpf_map__value_size(of));
	lbpf_set_integer(L, "max_entries", bpf_map__max_entries(of));
	lbpf_set_integer(L, "map_flags", bpf_map__map_flags(of));
	lbpf_set_integer(L, "map_extra", (lua_Integer)bpf_map__map_extra(of));
	lbpf_set_integer(L, "ifindex", bpf_map__ifindex(of));
	lbpf_set_integer(L, "btf_key_type_id", bpf_map__btf_key_type_id(of));
	lbpf_set_integer(L, "btf_value_type_id", bpf_map__btf_value_type_id(of));
	add_own(L, of);
	inner = bpf_map__inner_map(of);
	if (inner) {
		push_declared(L, inner, bpf_map__name(inner));
		lua_setfield(L, -2, "inner_map");
	}
	bytes = bpf_map__is_internal(of) ? bpf_map__initial_value(of, &size) : NULL;
	if (bytes) {
		lua_pushlstring(L, bytes, size);
		lua_setfield(L, -2, "initial_value");
	}
}

/* With a map of an object as the argument. */
static int push_info(lua_State *L)
{
	struct lbpf_map *map = lua_touserdata(L, 1);
	int pushed;

	if (map->fd < 0) {
		push_declared(L, map->of, map->name);
		return 1;
	}
	pushed = push_known(L, map);
	if (pushed == 1)
		add_own(L, map->of);
	return pushed;
}

/*** What the kernel knows about the map, or, before its object is loaded, what that declares.
@function bpf.map.info
@tparam bpf.map m
@treturn table the fields of struct bpf_map_info, with the type's name: id, type, name, key_size, value_size,
max_entries, map_flags, ifindex, btf_id, btf_key_type_id, btf_value_type_id, map_extra; and type_number for a type
without a name, "other". Of an object's map also, as libbpf calls them: numa_node, autocreate, is_internal (it holds
variables) and pin_path. Before the load there are no id and btf_id, and besides: inner_map, the same fields of what is
declared for the inner maps, and initial_value, the bytes of a section of variables, also of one that has no BTF
@treturn nil,string,string on failure
@see bpf_obj_get_info_by_fd */
static int map_info(lua_State *L)
{
	struct lbpf_map *map = lbpf_class_check(L, 1, &lbpf_map_class);

	if (map->fd < 0 && !map->of)
		lbpf_map_unusable(L, map);
	if (!map->of)
		return push_known(L, map);
	lua_settop(L, 1);
	lua_pushcfunction(L, push_info);
	lua_insert(L, 1);
	lbpf_call_undisturbed(L, 1, LUA_MULTRET); /* closing the object would free the map */
	return lua_gettop(L);
}

void lbpf_mapinfo_open(lua_State *L)
{
	lua_getfield(L, -1, "map");
	lua_pushcfunction(L, map_info);
	lua_setfield(L, -2, "info");
	lua_pop(L, 1);
}
