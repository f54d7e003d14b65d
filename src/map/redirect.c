/* SPDX-License-Identifier: MIT */
/* Values that are targets of programs: programs for tail calls, interfaces, CPUs. A program is stored by its descriptor
 * and read as its kernel id. */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include <bpf/libbpf.h>

#include <lauxlib.h>

#include "base/arg.h"
#include "map/conv.h"
#include "map/map.h"

/* Members of struct bpf_devmap_val and struct bpf_cpumap_val. The second one may be missing in a map. */
struct target {
	uint32_t number; /* the index of the interface, or the queue's length */
	uint32_t prog;	 /* the program: written as a descriptor, 0 for none; read as an id */
};

/* The descriptor of the program at idx. */
static uint32_t program_arg(lua_State *L, int idx)
{
	int fd = lbpf_class_descriptor(L, idx, "bpf.prog");

	if (fd < 0)
		luaL_error(L, "value: a program expected, got %s", luaL_typename(L, idx));
	return (uint32_t)fd;
}

static int program_encode(lua_State *L, const struct lbpf_map *map, int idx, void *buf)
{
	uint32_t fd = program_arg(L, idx);

	(void)map;
	memcpy(buf, &fd, sizeof(fd));
	return 0;
}

static void program_decode(lua_State *L, const struct lbpf_map *map, const void *buf, int into)
{
	(void)map;
	(void)into;
	lua_pushinteger(L, lbpf_load_int(LBPF_U32, buf));
}

/* Reads the number at idx; or the name of an interface, if this map has interfaces. Returns 0 or an errno. */
static int number_arg(lua_State *L, int idx, const char *field, bool named, uint32_t *number)
{
	lua_Integer n;
	int is_int;

	if (named && lua_type(L, idx) == LUA_TSTRING) {
		const char *name = lua_tostring(L, idx);

		if (!lbpf_arg_is_text(L, idx))
			luaL_error(L, "value: the interface's name has a NUL byte in it");
		return lbpf_arg_interface(L, name, number);
	}
	n = lua_tointegerx(L, idx, &is_int);
	if (lua_type(L, idx) != LUA_TNUMBER || !is_int || n < 1 || n > UINT32_MAX)
		luaL_error(L, "value: %s must be an integer from 1 to 4294967295%s, got %s", field,
			   named ? " or an interface's name" : "", luaL_tolstring(L, idx, NULL));
	*number = (uint32_t)n;
	return 0;
}

static int target_encode(lua_State *L, const struct lbpf_map *map, int idx, void *buf, const char *field, bool named)
{
	const struct lbpf_option rows[] = {
		{ field, LBPF_OPT_OTHER, 0 },
		{ "prog", LBPF_OPT_OTHER, 0 },
		{ NULL, LBPF_OPT_OTHER, 0 },
	};
	struct target target = { 0 };
	int err;

	if (lua_istable(L, idx)) {
		lbpf_arg_options(L, idx, rows, NULL, "value");
		lua_getfield(L, idx, field);
		err = number_arg(L, lua_gettop(L), field, named, &target.number);
		if (err)
			return err;
		if (lua_getfield(L, idx, "prog") != LUA_TNIL)
			target.prog = program_arg(L, lua_gettop(L)); /* kept by the table */
		lua_pop(L, 2);
		if (target.prog && map->value_size < sizeof(target))
			luaL_error(L, "value: entries of this map have no room for a program (4 of 8 bytes)");
	} else {
		err = number_arg(L, idx, field, named, &target.number);
	}
	memcpy(buf, &target, map->value_size < sizeof(target) ? map->value_size : sizeof(target));
	return err;
}

static void target_decode(lua_State *L, const struct lbpf_map *map, const void *buf, int into, const char *field)
{
	struct target target = { 0 };

	memcpy(&target, buf, map->value_size < sizeof(target) ? map->value_size : sizeof(target));
	if (into)
		lua_pushvalue(L, into);
	else if (target.prog)
		lua_createtable(L, 0, 2);
	if (!into && !target.prog) {
		lua_pushinteger(L, target.number);
		return;
	}
	lbpf_set_integer(L, field, target.number);
	if (target.prog)
		lua_pushinteger(L, target.prog);
	else
		lua_pushnil(L);
	lua_setfield(L, -2, "prog");
}

static int device_encode(lua_State *L, const struct lbpf_map *map, int idx, void *buf)
{
	return target_encode(L, map, idx, buf, "ifindex", true);
}

static void device_decode(lua_State *L, const struct lbpf_map *map, const void *buf, int into)
{
	target_decode(L, map, buf, into, "ifindex");
}

static int cpu_encode(lua_State *L, const struct lbpf_map *map, int idx, void *buf)
{
	return target_encode(L, map, idx, buf, "qsize", false);
}

static void cpu_decode(lua_State *L, const struct lbpf_map *map, const void *buf, int into)
{
	target_decode(L, map, buf, into, "qsize");
}

const struct lbpf_conv lbpf_conv_program = { .encode = program_encode, .decode = program_decode };
const struct lbpf_conv lbpf_conv_device = { .encode = device_encode, .decode = device_decode };
const struct lbpf_conv lbpf_conv_cpu = { .encode = cpu_encode, .decode = cpu_decode };
