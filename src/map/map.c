/* SPDX-License-Identifier: MIT */
/* Map handles: their types and memory, and operations on a map as a whole.
 *
 * A handle owns its file descriptor, or borrows that of the object that declares the map. In this case the object calls
 * lbpf_map_orphan before it is freed. Indexing a handle only looks up keys. So operations are functions of the table
 * `bpf.map`. */
#include "map/map.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <linux/bpf.h>

#include "base/err.h"
#include "btf/btf.h"
#include "btf/compile.h"
#include "map/declared.h"

static void map_init(void *self)
{
	((struct lbpf_map *)self)->fd = -1;
}

static void map_release(lua_State *L, int idx, void *self)
{
	struct lbpf_map *map = self;
	int fd = map->fd;

	(void)L;
	(void)idx;
	lbpf_mapmem_unmap(&map->mem);
	map->fd = -1;
	map->of = NULL;
	map->btf = NULL;
	if (fd >= 0 && map->owns_fd)
		close(fd);
}

/* ---- its memory ---- */

static size_t memory_size(const struct lbpf_map *map)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (map->kind->can & LBPF_VALUELESS)
		return map->max_entries * page;
	return (map->max_entries * (((size_t)map->value_size + 7) / 8 * 8) + page - 1) / page * page;
}

static struct lbpf_mapping mapping_of(const struct lbpf_map *map)
{
	return (struct lbpf_mapping){
		.fd = map->fd,
		.size = memory_size(map),
		.arena = lbpf_mapkind_is_arena(map->kind),
		.at = map->extra,
		.of = map->of,
	};
}

bool lbpf_map_memory(struct lbpf_map *map)
{
	struct lbpf_mapmem *mem = &map->mem;
	struct lbpf_mapping mapping;

	if (lbpf_likely(mem->base && !mem->process))
		return true;
	if (!mem->base && (!lbpf_map_has_memory(map) || mem->refused || map->fd < 0))
		return false;
	mapping = mapping_of(map);
	if (!lbpf_mapmem_map(mem, &mapping))
		return false;
	if (mapping.arena)
		map->extra = (uintptr_t)mem->base; /* it keeps this address, in every process */
	return true;
}

/* ---- making handles ---- */

int lbpf_map_convert(lua_State *L, const struct lbpf_map *map, const struct lbpf_conv *conv, int idx, void *buf)
{
	int err = conv->encode(L, map, idx, buf);

	if (lbpf_unlikely(map->fd < 0))
		lbpf_map_unusable(L, map);
	return err;
}

struct lbpf_map *lbpf_map_push_new(lua_State *L)
{
	return lbpf_class_new(L, &lbpf_map_class, sizeof(struct lbpf_map), LBPF_MAP_SLOTS);
}

void lbpf_map_set_name(struct lbpf_map *map, const char *name)
{
	strncpy(map->name, name, sizeof(map->name) - 1);
}

int lbpf_map_set_kind(lua_State *L, struct lbpf_map *map, const struct lbpf_mapkind *kind)
{
	int cpus;

	if ((!map->value_size && !(kind->can & LBPF_VALUELESS)) || (!map->key_size && !(kind->can & LBPF_KEYLESS)))
		kind = &lbpf_mapkind_opaque;
	map->kind = kind;
	map->cpus = 1;
	map->stride = map->value_size;
	if (!(kind->can & LBPF_PERCPU))
		return 0;
	cpus = lbpf_possible_cpus(L);
	if (cpus < 0)
		return -cpus;
	map->cpus = (uint32_t)cpus;
	map->stride = (map->value_size + 7) / 8 * 8;
	return 0;
}

/* Pops the type at the top and stores it in its user value. Raises if its size isn't the map's. */
struct lbpf_type *lbpf_map_set_type(lua_State *L, int idx, int slot, uint32_t size, const char *what)
{
	struct lbpf_type *type = lua_touserdata(L, -1);

	if (type->size != size)
		luaL_error(L, "%s: %s takes %I bytes, the map's %ss %I", what, type->node[0].ctype,
			   (LUAI_UACINT)type->size, what, (LUAI_UACINT)size);
	lua_setiuservalue(L, idx, slot);
	return type;
}

/* Pushes the type of a BTF id; or a type of raw bytes, if there is none or it has another size. */
static void push_type_of_id(lua_State *L, const struct btf *btf, uint32_t id, uint32_t size, bool untyped)
{
	if (btf && id) {
		if (lbpf_btf_compile(L, btf, id)->size == size)
			return;
		lua_pop(L, 1);
	}
	if (untyped && id)
		lbpf_type_push_untyped(L, size);
	else
		lbpf_type_push_raw(L, size);
}

/* Sets the types of the map at the top, whose sizes are known. */
void lbpf_map_set_types(lua_State *L, struct lbpf_map *map, const struct btf *btf, uint32_t key_id, uint32_t value_id)
{
	int idx = lua_gettop(L);

	if (map->key_size) {
		if (!key_id && map->key_size == sizeof(uint32_t) && map->kind->key_type &&
		    strcmp(map->kind->key_type, "__u32") == 0)
			lbpf_type_push_index(L);
		else
			push_type_of_id(L, btf, key_id, map->key_size, map->untyped);
		map->key = lbpf_map_set_type(L, idx, LBPF_MAP_KEY, map->key_size, "key");
	}
	if (map->value_size) {
		push_type_of_id(L, btf, value_id, map->value_size, map->untyped);
		map->value = lbpf_map_set_type(L, idx, LBPF_MAP_VALUE, map->value_size, "value");
	}
}

/* Pushes the type that a script names. The arguments are the map, the value that names the type, and `what` for
 * messages. */
static int compile_spec(lua_State *L)
{
	struct lbpf_map *map = lua_touserdata(L, 1);

	lbpf_btf_spec(L, 2, map->btf, lua_tostring(L, 3));
	return 1;
}

struct lbpf_type *lbpf_map_push_spec(lua_State *L, int map_idx, int spec_idx, const char *what)
{
	map_idx = lua_absindex(L, map_idx);
	spec_idx = lua_absindex(L, spec_idx);
	luaL_checkstack(L, 6, NULL);
	lua_pushcfunction(L, compile_spec);
	lua_pushvalue(L, map_idx);
	lua_pushvalue(L, spec_idx);
	lua_pushstring(L, what);
	lbpf_call_undisturbed(L, 3, 1); /* closing the object would free its BTF */
	return lua_touserdata(L, -1);
}

struct lbpf_map *lbpf_map_push_owned(lua_State *L)
{
	struct lbpf_map *map;

	lbpf_spare(L, LBPF_MAP_DESCRIPTORS);
	map = lbpf_map_push_new(L);
	map->owns_fd = true;
	return map;
}

struct lbpf_map *lbpf_map_push_declared(lua_State *L, int owner, struct bpf_map *of, const char *name, struct btf *btf)
{
	struct lbpf_declared ids = lbpf_declared_types(of, name, btf);
	struct lbpf_map *map;

	owner = lua_absindex(L, owner);
	map = lbpf_map_push_new(L);
	lua_pushvalue(L, owner);
	lua_setiuservalue(L, -2, LBPF_MAP_OWNER);
	map->of = of;
	map->btf = btf;
	map->type = (uint32_t)bpf_map__type(of);
	if (bpf_map__inner_map(of)) /* libbpf drops it during the load */
		map->inner = (uint32_t)bpf_map__type(bpf_map__inner_map(of));
	map->key_size = bpf_map__key_size(of);
	map->value_size = bpf_map__value_size(of);
	lbpf_map_set_name(map, name);
	if (lbpf_map_set_kind(L, map, lbpf_mapkind_of(map->type)))
		luaL_error(L, "map '%s': the number of possible CPUs can't be read", name);
	lbpf_map_set_types(L, map, btf, ids.key, ids.value);
	lbpf_map_loaded(map);
	return map;
}

int lbpf_map_created_fd(const struct bpf_map *map)
{
	int fd = bpf_map__autocreate(map) ? bpf_map__fd(map) : -1;

	return fd < 0 ? -1 : fd;
}

void lbpf_map_loaded(struct lbpf_map *map)
{
	/* Buffers fit the type and sizes from before the load. If a host, or libbpf for struct_ops, has changed these,
	 * entries can't be accessed. */
	if (map->kind->type != BPF_MAP_TYPE_STRUCT_OPS &&
	    ((uint32_t)bpf_map__type(map->of) != map->type || bpf_map__key_size(map->of) != map->key_size ||
	     bpf_map__value_size(map->of) != map->value_size))
		map->kind = &lbpf_mapkind_opaque;
	map->max_entries = bpf_map__max_entries(map->of);
	map->flags = bpf_map__map_flags(map->of);
	map->extra = bpf_map__map_extra(map->of);
	map->fd = lbpf_map_created_fd(map->of);
}

void lbpf_map_memory_loaded(struct lbpf_map *map, bool owned)
{
	struct lbpf_mapping mapping = mapping_of(map);
	void *base = lbpf_mapmem_loaded(&map->mem, &mapping, owned);

	if (base)
		map->extra = (uintptr_t)base;
}

void lbpf_map_orphan(struct lbpf_map *map)
{
	lbpf_mapmem_unmap(&map->mem);
	map->of = NULL;
	map->btf = NULL;
	map->fd = -1;
}

/* ---- the map as a whole ---- */

/*** Makes a map read-only for user space. Freezing can't be undone. Programs may still write, unless the map has the
flag "rdonly_prog". Views of this handle can still be read. The kernel refuses while another handle or process has
mapped the map for writing.
@function bpf.map.freeze
@tparam bpf.map m
@treturn true
@treturn nil,string,string on failure: EBUSY, EPERM (frozen already, mapped for writing, opened read-only), …
@usage
assert(map.freeze(m))
local ok, message, code = map.update(m, 1, 11)  -- nil, code is "EPERM"
@see bpf_map_freeze
@since kernel 5.2 */
static int map_freeze(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, 0, "freeze");
	int err;

	lbpf_mapmem_unmap(&map->mem); /* a map can't be frozen while it is mapped for writing */
	if (bpf_map_freeze(map->fd)) {
		err = errno;
		return lbpf_err_push(L, err,
				     err == EBUSY || err == EPERM ? "it is frozen already, mapped for writing, or "
								    "opened read-only"
								  : NULL,
				     "map '%s': freeze", lbpf_map_label(map));
	}
	lua_pushboolean(L, 1);
	return 1;
}

/*** Returns the map's file descriptor. The handle still owns it: don't close it, and duplicate it if you need it for
longer than the handle.
@function bpf.map.fd
@tparam bpf.map m
@treturn integer the descriptor
@usage
local same <close> = assert(map.by_fd(map.fd(m)))
assert(same == m) */
static int map_fd(lua_State *L)
{
	lua_pushinteger(L, lbpf_map_check(L, 1, 0, "fd")->fd);
	return 1;
}

/*** Closes the handle; closing twice is fine. Other handles, pins and programs keep the map itself. A map of an object
stays open in the object.
@function bpf.map.close
@tparam bpf.map m
@treturn true
@usage
map.close(m)
print(map.type(m))  -- closed map */
static int map_close(lua_State *L)
{
	return lbpf_class_close(L, &lbpf_map_class);
}

/*** Returns the type of a map, or nil if the value is no map.
@function bpf.map.type
@param value anything
@treturn ?string the map's type: "hash", …, or "other" for one that this library doesn't know. "closed map" for a closed
 handle, nil for a value that is no map
@usage
assert(map.type(m) == "hash" and map.type(queue) == "queue" and map.type {} == nil) */
static int map_type(lua_State *L)
{
	struct lbpf_map *map;

	luaL_checkany(L, 1);
	map = lbpf_class_test(L, 1, &lbpf_map_class);
	if (!map)
		lua_pushnil(L);
	else
		lua_pushstring(L, map->fd < 0 && !map->of ? "closed map" : map->kind->name);
	return 1;
}

/*** Returns the C types of a map's keys and values.
@function bpf.map.types
@tparam bpf.map m
@treturn ?bpf.type type of a key; nil if the map has none, as a queue
@treturn ?bpf.type type of a value, in a per-CPU map that of one CPU's value; nil if the map has none
@usage
local key, value = map.types(m)
print(key:name(), value:size())  -- __u32  8 */
static int map_types(lua_State *L)
{
	struct lbpf_map *map = lbpf_class_check(L, 1, &lbpf_map_class);

	if (map->fd < 0 && !map->of)
		lbpf_map_unusable(L, map);
	lua_getiuservalue(L, 1, LBPF_MAP_KEY);
	lua_getiuservalue(L, 1, LBPF_MAP_VALUE);
	return 2;
}

/* ---- metamethods ---- */

static uint32_t map_kernel_id(lua_State *L, int idx)
{
	struct lbpf_map *map = lbpf_class_test(L, idx, &lbpf_map_class);
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);

	if (!map || map->fd < 0 || bpf_obj_get_info_by_fd(map->fd, &info, &len))
		return 0;
	return info.id;
}

/* Handles are equal if they refer to the same map in the kernel. */
static int map_eq(lua_State *L)
{
	uint32_t id = map_kernel_id(L, 1);

	lua_pushboolean(L, id != 0 && id == map_kernel_id(L, 2));
	return 1;
}

/* What max_entries counts. */
static const char *map_unit(const struct lbpf_map *map, bool one)
{
	switch (map->kind->type) {
	case BPF_MAP_TYPE_RINGBUF:
	case BPF_MAP_TYPE_USER_RINGBUF:
		return "bytes";
	default:
		if (map->kind->can & LBPF_VIEW && map->kind->can & LBPF_VALUELESS)
			return one ? "page" : "pages";
		return one ? "entry" : "entries";
	}
}

static int map_tostring(lua_State *L)
{
	struct lbpf_map *map = lbpf_class_check(L, 1, &lbpf_map_class);

	lua_settop(L, 1);
	if (map->fd < 0 && !map->of) {
		lua_pushfstring(L, "bpf.map: %s (closed)", lbpf_map_label(map));
		return 1;
	}
	lua_pushfstring(L, "bpf.map: %s (%s", *map->name ? map->name : "(unnamed)", map->kind->name);
	if (map->key && map->value)
		lua_pushfstring(L, ", %s → %s", map->key->node[0].ctype, map->value->node[0].ctype);
	else
		lua_pushfstring(L, "%s%s", map->value ? ", " : "", map->value ? map->value->node[0].ctype : "");
	if (map->max_entries)
		lua_pushfstring(L, ", %I %s", (LUAI_UACINT)map->max_entries, map_unit(map, map->max_entries == 1));
	else
		lua_pushliteral(L, "");
	if (map->fd < 0)
		lua_pushliteral(L, ", not loaded)");
	else
		lua_pushfstring(L, ", fd %d)", map->fd);
	lua_concat(L, 4);
	return 1;
}

static const luaL_Reg map_functions[] = {
	{ "freeze", map_freeze }, { "fd", map_fd },	{ "types", map_types },
	{ "close", map_close },	  { "type", map_type }, { NULL, NULL },
};

static const luaL_Reg map_meta[] = {
	{ "__eq", map_eq },
	{ "__tostring", map_tostring },
	{ NULL, NULL },
};

const struct lbpf_class lbpf_map_class = {
	.name = "bpf.map",
	.meta = map_meta,
	.init = map_init,
	.release = map_release,
};

void lbpf_map_open(lua_State *L)
{
	lbpf_class_register(L, &lbpf_map_class);
	luaL_newlib(L, map_functions);
	lua_setfield(L, -2, "map");
}
