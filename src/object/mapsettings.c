/* SPDX-License-Identifier: MIT */
/* The settings of a map that an object declares, under libbpf's names: bpf_map__<name> reads a setting,
 * bpf_map__set_<name> changes it before the load.
 *
 * A map that a script gives as inner_map stays the script's. The object's list of maps keeps its handle alive, under
 * the handle of the outer map. */
#include "object/mapsettings.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include "base/arg.h"
#include "base/err.h"
#include "base/log.h"
#include "map/map.h"
#include "object/object.h"
#include "object/vars.h"

/* The setting that is changed. The map is at index 1, the new value at the top of the stack. */
struct setting {
	const char *what, *name; /* for messages */
	struct lbpf_map *map;
	struct bpf_map *of; /* the map's */
};

static uint32_t take_number(lua_State *L, const struct setting *s)
{
	return (uint32_t)lbpf_arg_field(L, s->what, s->name, 0, UINT32_MAX);
}

_Noreturn static void refuse(lua_State *L, const struct setting *s, const char *why)
{
	luaL_error(L, "%s: %s can't be set, %s", s->what, s->name, why);
	__builtin_unreachable();
}

_Noreturn static void mistaken(lua_State *L, const struct setting *s, const char *expected)
{
	luaL_error(L, "%s: %s must be %s, got %s", s->what, s->name, expected, luaL_typename(L, -1));
	__builtin_unreachable();
}

/* ---- what can't be set ---- */

static bool is_arena(uint32_t type)
{
	return lbpf_mapkind_of(type)->can & LBPF_VALUELESS && lbpf_mapkind_of(type)->can & LBPF_VIEW;
}

/* Why libbpf can't use another type or other sizes for the map; NULL: it can. */
static const char *has_fixed_sizes(const struct bpf_map *of)
{
	if (bpf_map__is_internal(of))
		return "it holds the object's variables";
	if (bpf_map__type(of) == BPF_MAP_TYPE_STRUCT_OPS)
		return "libbpf makes it as the kernel's types say";
	return is_arena(bpf_map__type(of)) ? "an arena has pages and no entries" : NULL;
}

/* The same for the type alone: libbpf would misinterpret programs or maps that are declared as initial values. */
static const char *has_fixed_type(const struct bpf_map *of, uint32_t type)
{
	switch (bpf_map__type(of)) {
	case BPF_MAP_TYPE_PROG_ARRAY:
	case BPF_MAP_TYPE_ARRAY_OF_MAPS:
	case BPF_MAP_TYPE_HASH_OF_MAPS:
		return "programs or maps may be declared as its values";
	default:
		if (type == BPF_MAP_TYPE_STRUCT_OPS || is_arena(type))
			return "such a map must be declared as one";
		return has_fixed_sizes(of);
	}
}

/* libbpf copies the initial data of an arena without checking the arena's size. */
static const char *has_fixed_entries(struct bpf_map *of, uint32_t max_entries)
{
	size_t size = 0, page = (size_t)sysconf(_SC_PAGESIZE);

	if (bpf_map__is_internal(of))
		return max_entries == bpf_map__max_entries(of) ? NULL : "it holds the object's variables, in one entry";
	if (is_arena(bpf_map__type(of)) && bpf_map__initial_value(of, &size) && max_entries < (size + page - 1) / page)
		return "its variables need more pages";
	return NULL;
}

/* ---- setting: each returns what libbpf does ---- */

static int set_type(lua_State *L, const struct setting *s)
{
	const char *why, *name = lua_type(L, -1) == LUA_TSTRING ? lbpf_arg_string(L, lua_gettop(L)) : NULL;
	uint32_t type;

	if (!name)
		mistaken(L, s, "the name of a type");
	type = lbpf_mapkind_named(L, name)->type;
	if (type == (uint32_t)bpf_map__type(s->of))
		return 0;
	why = has_fixed_type(s->of, type);
	if (why)
		refuse(L, s, why);
	return bpf_map__set_type(s->of, (enum bpf_map_type)type);
}

static int set_key_size(lua_State *L, const struct setting *s)
{
	uint32_t size = take_number(L, s);

	if (size == bpf_map__key_size(s->of))
		return 0;
	if (has_fixed_sizes(s->of))
		refuse(L, s, has_fixed_sizes(s->of));
	return bpf_map__set_key_size(s->of, size);
}

/* Enlarges a section of variables. If its last variable is an array, libbpf extends the array. */
static int resize_section(lua_State *L, const struct setting *s, uint32_t size)
{
	const char *suffix = strrchr(s->map->name, '.');
	struct lbpf_object *o;
	struct lbpf_log *log;
	int err;

	if (suffix && strcmp(suffix, ".kconfig") == 0)
		refuse(L, s, "it holds the kernel's configuration");
	if (size < bpf_map__value_size(s->of))
		refuse(L, s, "it is smaller than the section of variables");
	if (libbpf_major_version() == 1 && libbpf_minor_version() < 3)
		refuse(L, s, "it holds the object's variables, which libbpf before 1.3 can't resize");
	log = lbpf_log_begin(L);
	err = bpf_map__set_value_size(s->of, size);
	lbpf_log_end(log);
	if (err)
		return err;
	lua_getiuservalue(L, 1, LBPF_MAP_OWNER);
	o = lua_touserdata(L, -1);
	lua_getiuservalue(L, -1, LBPF_OBJECT_VARS);
	lbpf_vars_resized(L, lua_gettop(L), o->obj, s->of);
	return 0;
}

static int set_value_size(lua_State *L, const struct setting *s)
{
	uint32_t size = take_number(L, s);

	if (size == bpf_map__value_size(s->of))
		return 0;
	if (bpf_map__is_internal(s->of))
		return resize_section(L, s, size);
	if (has_fixed_sizes(s->of))
		refuse(L, s, has_fixed_sizes(s->of));
	return bpf_map__set_value_size(s->of, size);
}

static int set_max_entries(lua_State *L, const struct setting *s)
{
	uint32_t max_entries = take_number(L, s);
	const char *why = has_fixed_entries(s->of, max_entries);

	if (why)
		refuse(L, s, why);
	return bpf_map__set_max_entries(s->of, max_entries);
}

static int set_map_flags(lua_State *L, const struct setting *s)
{
	uint32_t flags;

	if (lua_type(L, -1) == LUA_TNUMBER)
		flags = take_number(L, s);
	else
		flags = (uint32_t)lbpf_arg_flags(L, lua_gettop(L), lbpf_map_flags, NULL);
	return bpf_map__set_map_flags(s->of, flags);
}

static int set_map_extra(lua_State *L, const struct setting *s)
{
	lua_Integer extra = lbpf_arg_field(L, s->what, s->name, LUA_MININTEGER, LUA_MAXINTEGER);

	return bpf_map__set_map_extra(s->of, (uint64_t)extra);
}

/* The kernel reads the NUMA node only if the flag is set. */
static int set_numa_node(lua_State *L, const struct setting *s)
{
	int err = bpf_map__set_numa_node(s->of, take_number(L, s));

	return err ? err : bpf_map__set_map_flags(s->of, bpf_map__map_flags(s->of) | BPF_F_NUMA_NODE);
}

static int set_ifindex(lua_State *L, const struct setting *s)
{
	return bpf_map__set_ifindex(s->of, take_number(L, s));
}

/* The template of inner maps can't be changed: it belongs to no object of libbpf's, and libbpf's setters access the
 * object. */
static int set_inner_map(lua_State *L, const struct setting *s)
{
	struct lbpf_map *inner = lbpf_class_test(L, -1, &lbpf_map_class);
	struct lbpf_log *log;
	int err;

	if (lbpf_mapkind_of((uint32_t)bpf_map__type(s->of))->value != &lbpf_conv_inner)
		refuse(L, s, "it is for maps of maps");
	if (!inner)
		mistaken(L, s, "a map that the inner ones are like");
	if (inner->fd < 0)
		lbpf_map_unusable(L, inner);
	lua_getiuservalue(L, 1, LBPF_MAP_OWNER);
	lua_getiuservalue(L, -1, LBPF_OBJECT_MAP_LIST);
	lua_pushvalue(L, 1);
	if (lua_rawget(L, -2) != LUA_TNIL)
		refuse(L, s, "it is set already");
	lua_pushvalue(L, 1);
	lua_pushvalue(L, -5);
	lua_rawset(L, -4); /* first, because it may allocate */
	log = lbpf_log_begin(L);
	err = bpf_map__set_inner_map_fd(s->of, inner->fd);
	lbpf_log_end(log);
	return err;
}

static int set_autocreate(lua_State *L, const struct setting *s)
{
	if (!lua_isboolean(L, -1))
		mistaken(L, s, "true or false");
	if (bpf_map__is_internal(s->of) && !lua_toboolean(L, -1))
		refuse(L, s, "it holds the object's variables, and is created with it");
	return bpf_map__set_autocreate(s->of, lua_toboolean(L, -1));
}

static int set_pin_path(lua_State *L, const struct setting *s)
{
	bool none = lua_isboolean(L, -1) && !lua_toboolean(L, -1);

	if (!none && lua_type(L, -1) != LUA_TSTRING)
		mistaken(L, s, "a path, or false for none");
	return bpf_map__set_pin_path(s->of, none ? NULL : lbpf_arg_string(L, lua_gettop(L)));
}

static int set_initial_value(lua_State *L, const struct setting *s)
{
	size_t size, len;
	const char *bytes = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;

	if (!bytes)
		mistaken(L, s, "a string of bytes");
	if (!bpf_map__is_internal(s->of) || !bpf_map__initial_value(s->of, &size))
		refuse(L, s, "only the maps of global variables have an initial value");
	if (len != size)
		luaL_error(L, "%s: %s has %I bytes, not %I", s->what, s->name, (LUAI_UACINT)size, (LUAI_UACINT)len);
	return bpf_map__set_initial_value(s->of, bytes, len);
}

/* The settings, in the order in which they are applied. */
static const struct {
	const char *name;
	int (*set)(lua_State *L, const struct setting *s);
} setters[] = {
	{ "type", set_type },
	{ "key_size", set_key_size },
	{ "value_size", set_value_size },
	{ "max_entries", set_max_entries },
	{ "map_flags", set_map_flags },
	{ "map_extra", set_map_extra },
	{ "numa_node", set_numa_node },
	{ "ifindex", set_ifindex },
	{ "inner_map", set_inner_map },
	{ "autocreate", set_autocreate },
	{ "pin_path", set_pin_path },
	{ "initial_value", set_initial_value },
};

#define SETTERS (sizeof(setters) / sizeof(*setters))

/* Updates the handle of the map at 1: types, buffers and operations are those of the new type and sizes. */
static void follow(lua_State *L, struct lbpf_map *map)
{
	struct lbpf_map *now;

	lua_getiuservalue(L, 1, LBPF_MAP_OWNER);
	now = lbpf_map_push_declared(L, -1, map->of, map->name, map->btf);
	for (int slot = LBPF_MAP_KEY; slot <= LBPF_MAP_VALUE; slot++) {
		lua_getiuservalue(L, -1, slot);
		lua_setiuservalue(L, 1, slot);
	}
	memcpy((char *)map + sizeof(map->head), (char *)now + sizeof(now->head), sizeof(*map) - sizeof(map->head));
	lbpf_map_orphan(now);
	lua_pop(L, 2);
}

/* Applies settings. The arguments are the map, the table of settings, and the text that messages begin with. */
static int apply(lua_State *L)
{
	struct setting s = { .map = lua_touserdata(L, 1), .what = lua_tostring(L, 3) };
	struct lbpf_option options[SETTERS + 1] = { 0 };
	int err;

	s.of = s.map->of;
	for (size_t i = 0; i < SETTERS; i++)
		options[i] = (struct lbpf_option){ setters[i].name, LBPF_OPT_OTHER, 0 };
	lbpf_arg_options(L, 2, options, NULL, s.what);
	if (bpf_map__fd(s.of) >= 0)
		luaL_error(L, "%s: a map that exists is used in its place", s.what);
	for (size_t i = 0; i < SETTERS; i++, lua_settop(L, 3)) {
		s.name = setters[i].name;
		lua_pushstring(L, s.name);
		if (lua_rawget(L, 2) == LUA_TNIL)
			continue;
		err = setters[i].set(L, &s);
		if (err)
			lbpf_err_raise(L, err, NULL, "%s: %s", s.what, s.name);
		follow(L, s.map); /* at once, because the next setting may raise */
	}
	return 0;
}

void lbpf_mapsettings_apply(lua_State *L, int map_idx, int idx, const char *what)
{
	map_idx = lua_absindex(L, map_idx);
	idx = lua_absindex(L, idx);
	luaL_checkstack(L, 6, NULL);
	lua_pushcfunction(L, apply);
	lua_pushvalue(L, map_idx);
	lua_pushvalue(L, idx);
	lua_pushstring(L, what);
	lbpf_call_undisturbed(L, 3, 0); /* closing the object would free the map */
}

void lbpf_mapsettings_check(lua_State *L, int idx)
{
	int list = lua_gettop(L) + 1;
	struct lbpf_map *inner, *outer;

	lua_getiuservalue(L, idx, LBPF_OBJECT_MAP_LIST);
	for (lua_pushnil(L); lua_next(L, list); lua_pop(L, 1)) {
		outer = lua_touserdata(L, -2);
		inner = lua_touserdata(L, -1);
		if (outer && inner->fd < 0)
			luaL_error(L, "map '%s': its inner_map is closed", lbpf_map_label(outer));
	}
	lua_settop(L, list - 1);
}

/* ---- for scripts ---- */

/* Returns the map at 1 if its settings can be changed. If it is too late, pushes nil, message and code, and returns
 * NULL. */
static struct lbpf_map *check_declared(lua_State *L, const char *operation)
{
	struct lbpf_map *map = lbpf_class_check(L, 1, &lbpf_map_class);
	struct lbpf_object *o;
	bool late = map->fd >= 0;

	if (!late && !map->of)
		lbpf_map_unusable(L, map);
	if (!late && lua_getiuservalue(L, 1, LBPF_MAP_OWNER) == LUA_TUSERDATA) {
		o = lua_touserdata(L, -1);
		late = o->loaded;
		lua_pop(L, 1);
	}
	if (!late)
		return map;
	lbpf_err_push(L, EBUSY, map->fd < 0 ? "its object is loaded already" : "the map exists already", "map '%s': %s",
		      lbpf_map_label(map), operation);
	return NULL;
}

/*** Sets max_entries of a map that an object declares, before the object is loaded.
@function bpf.map.resize
@tparam bpf.map m
@tparam integer max_entries
@treturn true
@treturn nil,string,string on failure: EBUSY once the map exists
@usage
local obj <close> = assert(bpf.open("build/progs/events.bpf.o"))
assert(map.resize(obj.maps.events, 1 << 20)) -- 1 MiB for a ring buffer
@see bpf_map__set_max_entries */
static int map_resize(lua_State *L)
{
	struct lbpf_map *map;
	const char *why;
	lua_Integer n;
	int err;

	lbpf_class_check(L, 1, &lbpf_map_class);
	n = lbpf_arg_int(L, 2, 1, UINT32_MAX);
	map = check_declared(L, "resize");
	if (!map)
		return 3;
	why = has_fixed_entries(map->of, (uint32_t)n);
	if (why)
		return lbpf_err_push(L, EINVAL, why, "map '%s': resize", lbpf_map_label(map));
	err = bpf_map__set_max_entries(map->of, (uint32_t)n);
	if (err)
		return lbpf_err_push(L, err, NULL, "map '%s': resize", lbpf_map_label(map));
	map->max_entries = bpf_map__max_entries(map->of);
	lua_pushboolean(L, 1);
	return 1;
}

/*** Sets what an object declares about a map, before the object is loaded. `map.info` returns what is declared. If a
size differs from that of the C type, keys or values are bytes.
@function bpf.map.configure
@tparam bpf.map m
@tparam table settings by libbpf's names
- type: the kernel's name in lower case; can't be set for maps that hold programs, maps or variables, for struct_ops and
  for arenas
- key_size, value_size: bytes; a section of variables can only grow, and its last variable grows with it if that is an
  array (libbpf 1.3)
- max_entries: entries, bytes or pages
- map_flags: a name such as "no_prealloc", a sequence of names, or the number
- map_extra: as for map.create
- numa_node: the NUMA node whose memory the map uses; this also sets the flag for it
- ifindex: the index of the interface that the map is offloaded to
- inner_map: a map that the inner maps are like, in place of what is declared; it must be open when the object is loaded
- autocreate: false if the load is not to create the map
- pin_path: where the load pins the map, or opens it if it is pinned there; false for nowhere
- initial_value: the bytes of a section of variables
@treturn true
@treturn nil,string,string on failure: EBUSY once the object is loaded
@usage
local obj <close> = assert(bpf.open("build/progs/events.bpf.o"))
assert(map.configure(obj.maps.others, { max_entries = 1 << 20, numa_node = 0 }))
@see bpf_map__set_value_size */
static int map_configure(lua_State *L)
{
	struct lbpf_map *map;

	luaL_checktype(L, 2, LUA_TTABLE);
	lua_settop(L, 2);
	lbpf_arg_own(L, 2);
	lua_pushfstring(L, "map '%s': configure", lbpf_map_label(lbpf_class_check(L, 1, &lbpf_map_class)));
	map = check_declared(L, "configure");
	if (!map)
		return 3;
	lbpf_mapsettings_apply(L, 1, 2, lua_tostring(L, 3));
	lua_pushboolean(L, 1);
	return 1;
}

static const luaL_Reg map_functions[] = {
	{ "resize", map_resize },
	{ "configure", map_configure },
	{ NULL, NULL },
};

void lbpf_mapsettings_open(lua_State *L)
{
	lua_getfield(L, -1, "map");
	luaL_setfuncs(L, map_functions, 0);
	lua_pop(L, 1);
}
