/* SPDX-License-Identifier: MIT */
/* Adding to numbers in memory, atomically: to the entries of an array that is mapped into this process, and to global
 * variables. `map.add` does so without a system call. For maps that aren't in memory it calls a function in Lua, which
 * has a program in the kernel add. */
#include "object/add.h"

#include <errno.h>
#include <stdbool.h>

#include "base/arg.h"
#include "base/raise.h"
#include "map/map.h"
#include "object/vars.h"

/* Whether numbers of this type can be added to in one access. */
static bool is_addable(const struct lbpf_type *type)
{
	return lbpf_type_is_integer(type) && (type->size == sizeof(uint32_t) || type->size == sizeof(uint64_t));
}

static void add(void *memory, uint32_t size, lua_Integer n)
{
	if (size == sizeof(uint64_t))
		__atomic_fetch_add((uint64_t *)memory, (uint64_t)n, __ATOMIC_RELAXED);
	else
		__atomic_fetch_add((uint32_t *)memory, (uint32_t)n, __ATOMIC_RELAXED);
}

/* The third argument. */
static lua_Integer read_amount(lua_State *L)
{
	if (lua_isnoneornil(L, 3))
		return 1;
	if (!lua_isinteger(L, 3))
		luaL_typeerror(L, 3, "integer");
	return lua_tointeger(L, 3);
}

static int add_to_variable(lua_State *L)
{
	lua_Integer n = read_amount(L);
	const struct lbpf_type *type;
	uint8_t *memory = lbpf_vars_memory(L, 1, 2, &type);

	if (!is_addable(type))
		luaL_error(L, "map.add: variables must be integers of 4 or 8 bytes, this one is %s",
			   type->node[0].ctype);
	if ((uintptr_t)memory % type->size)
		luaL_error(L, "map.add: variable '%s' is not aligned", lua_tostring(L, 2));
	add(memory, type->size, n);
	lua_pushboolean(L, 1);
	return 1;
}

/* Adds in memory and returns how many values were pushed; or returns 0 if this map's entries are not to be had there.
 */
static int add_to_slot(lua_State *L, struct lbpf_map *map)
{
	_Alignas(8) uint8_t key[sizeof(uint64_t)]; /* the key of an array is a slot of 4 bytes */
	lua_Integer n;
	uint8_t *memory;

	if (!lbpf_map_has_memory(map) || !map->value || !is_addable(map->value) || lua_isnone(L, 2))
		return 0;
	n = read_amount(L);
	lbpf_map_encode_key(L, map, 2, key);
	if (!lbpf_map_memory(map) || !map->mem.writable)
		return 0;
	memory = lbpf_map_slot(map, key);
	if (!memory)
		return lbpf_map_fail(L, map, E2BIG, "update");
	add(memory, map->value->size, n);
	lua_pushboolean(L, 1);
	return 1;
}

/* Its upvalue is the function for everything that isn't in memory. */
static int map_add(lua_State *L)
{
	struct lbpf_map *map = lbpf_class_test(L, 1, &lbpf_map_class);
	int pushed;

	if (!map && lbpf_vars_test(L, 1))
		return add_to_variable(L);
	if (map && map->column)
		lbpf_map_cannot(L, map, "add");
	pushed = map && map->fd >= 0 ? add_to_slot(L, map) : 0;
	if (pushed)
		return pushed;
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
	return lua_gettop(L);
}

/* Makes `map.add` of the function in Lua. */
__attribute__((section(LBPF_AT_OPENING))) static int make_add(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TFUNCTION);
	lua_settop(L, 1);
	lua_pushcclosure(L, map_add, 1);
	return 1;
}

void lbpf_add_open(lua_State *L)
{
	lua_getfield(L, -1, "posix");
	lua_pushcfunction(L, make_add);
	lua_setfield(L, -2, "make_add");
	lua_pop(L, 1);
}
