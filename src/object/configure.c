/* SPDX-License-Identifier: MIT */
/* The options of bpf.open that change something in the object: `maps`, `vars`, `autoload`. */
#include "object/configure.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "base/arg.h"
#include "base/err.h"
#include "base/log.h"
#include "map/map.h"
#include "object/mapsettings.h"
#include "object/object.h"
#include "program/program.h"

/* Replaces the number of entries at idx by a table of settings. */
static void entries_as_settings(lua_State *L, int idx)
{
	int is_int;
	lua_Integer n = lua_tointegerx(L, idx, &is_int);

	if (!is_int || n < 1 || n > UINT32_MAX)
		luaL_error(L, "must have from 1 to 4294967295 entries, not %s", luaL_tolstring(L, idx, NULL));
	lua_createtable(L, 0, 1);
	lbpf_set_integer(L, "max_entries", n);
	lua_replace(L, idx);
}

static void autocreate_as_settings(lua_State *L, int idx)
{
	lua_createtable(L, 0, 1);
	lua_pushvalue(L, idx);
	lua_setfield(L, -2, "autocreate");
	lua_replace(L, idx);
}

/* Makes libbpf use another map instead of the declared one. */
static void use_other(lua_State *L, struct lbpf_map *map, struct lbpf_map *other)
{
	struct lbpf_log *log;
	int err;

	if (other->fd < 0)
		lbpf_map_unusable(L, other);
	if (other->type != map->type || other->key_size != map->key_size || other->value_size != map->value_size)
		luaL_error(L,
			   "the map to use instead is a %s with keys of %I and values of %I bytes, the declared one a "
			   "%s with %I and %I",
			   other->kind->name, (LUAI_UACINT)other->key_size, (LUAI_UACINT)other->value_size,
			   map->kind->name, (LUAI_UACINT)map->key_size, (LUAI_UACINT)map->value_size);
	if (bpf_map__is_internal(map->of) && other->max_entries != bpf_map__max_entries(map->of))
		luaL_error(L, "the map to use instead must have one entry, for it holds variables");
	log = lbpf_log_begin(L);
	err = bpf_map__reuse_fd(map->of, other->fd);
	if (!err) /* otherwise libbpf would use the map that is pinned there */
		err = bpf_map__set_pin_path(map->of, NULL);
	lbpf_log_end(log);
	if (err)
		lbpf_err_raise(L, err, NULL, "can't be set");
	map->max_entries = bpf_map__max_entries(map->of);
}

/* Applies the value of option `maps` to the map at the top: a number of entries, a table of settings, a map to use
 * instead, or whether the map is created. */
static void option_map(lua_State *L, struct lbpf_map *map, int idx)
{
	struct lbpf_map *other = lbpf_class_test(L, idx, &lbpf_map_class);
	int map_idx = lua_gettop(L);

	if (other) {
		use_other(L, map, other);
		return;
	}
	if (lua_isboolean(L, idx))
		autocreate_as_settings(L, idx);
	else if (lua_type(L, idx) == LUA_TNUMBER)
		entries_as_settings(L, idx);
	else if (lua_istable(L, idx))
		lbpf_arg_own(L, idx);
	else
		luaL_error(L, "must be an integer, a table, a map or a boolean, got %s", luaL_typename(L, idx));
	lbpf_mapsettings_apply(L, map_idx, idx, map->name);
}

static void option_autoload(lua_State *L, struct lbpf_program *p, int idx)
{
	if (!lua_isboolean(L, idx))
		luaL_error(L, "must be true or false, got %s", luaL_typename(L, idx));
	bpf_program__set_autoload(p->prog, lua_toboolean(L, idx));
}

/* Applies the value at 3 to the map, program or variable whose name is at 2, in the contents at 1, which are those of
 * user value `slot`. Error messages need not contain the name. */
static int configure(lua_State *L)
{
	int slot = (int)lua_tointeger(L, 4);

	if (slot == LBPF_OBJECT_VARS) {
		lua_settop(L, 3);
		lua_settable(L, 1);
		return 0;
	}
	lua_pushvalue(L, 2);
	lua_gettable(L, 1); /* raises for an unknown name */
	if (slot == LBPF_OBJECT_MAPS)
		option_map(L, lua_touserdata(L, -1), 3);
	else
		option_autoload(L, lua_touserdata(L, -1), 3);
	return 0;
}

/* Whether Lua code can write `maps.<name>`; otherwise it is `maps["<name>"]`. */
static bool is_word(const char *name)
{
	if (*name >= '0' && *name <= '9')
		return false;
	while (lbpf_is_word(*name))
		name++;
	return *name == '\0';
}

/* Raises the error at the top, with the option and the name at idx before it: "bpf.load: maps.peers must be …". */
_Noreturn static void configure_fail(lua_State *L, int idx, const char *option, const char *what)
{
	const char *said = lbpf_unplaced(L, -1), *name = lbpf_arg_show(L, idx), *between = ": ";
	size_t len = strlen(name);

	if (strncmp(said, "must ", 5) == 0) {
		between = " ";
	} else if (strncmp(said, name, len) == 0 && said[len] && strchr(":.[", said[len])) {
		said += len; /* the message begins with the path of the value: "counts[3]: …" */
		between = "";
	}
	luaL_error(L, is_word(name) ? "%s: %s.%s%s%s" : "%s: %s[\"%s\"]%s%s", what, option, name, between, said);
	__builtin_unreachable();
}

/* Applies the table in field `option` of the options at 2 to the contents in user value `slot` of the object at idx. */
static void open_configure(lua_State *L, int idx, const char *option, int slot, const char *what)
{
	int settings = idx + 1, status;

	if (!lua_istable(L, 2) || lua_getfield(L, 2, option) == LUA_TNIL) {
		lua_settop(L, idx);
		return;
	}
	if (!lua_istable(L, settings))
		luaL_error(L, "%s: option '%s' must be a table, got %s", what, option, luaL_typename(L, settings));
	lbpf_arg_own(L, settings);
	for (lua_pushnil(L); lua_next(L, settings); lua_settop(L, settings + 1)) {
		lua_pushcfunction(L, configure);
		lua_getiuservalue(L, idx, slot);
		lua_pushvalue(L, settings + 1);
		lua_pushvalue(L, settings + 2);
		lua_pushinteger(L, slot);
		status = lbpf_pcall(L, 4, 0);
		if (status == LUA_ERRRUN && lua_type(L, -1) == LUA_TSTRING)
			configure_fail(L, settings + 1, option, what);
		if (status != LUA_OK)
			lua_error(L);
	}
	lua_settop(L, idx);
}

void lbpf_configure(lua_State *L, int idx, const char *what)
{
	open_configure(L, idx, "maps", LBPF_OBJECT_MAPS, what);
	open_configure(L, idx, "vars", LBPF_OBJECT_VARS, what);
	open_configure(L, idx, "autoload", LBPF_OBJECT_PROGS, what);
}
