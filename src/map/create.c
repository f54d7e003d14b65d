/* SPDX-License-Identifier: MIT */
/* Creating maps without an object: the options, and BTF for the types. */
#include "map/create.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <linux/bpf.h>

#include "base/arg.h"
#include "base/cause.h"
#include "base/class.h"
#include "base/err.h"
#include "base/log.h"
#include "base/spare.h"
#include "base/token.h"
#include "btf/btf.h"
#include "btf/compile.h"
#include "map/cause.h"
#include "map/like.h"
#include "map/map.h"

struct create {
	const char *type, *name;
	uint32_t max_entries, key_size, value_size, numa_node, ifindex;
	uint64_t map_extra;
	uint32_t flags;
	struct lbpf_map *inner;	   /* the template of the inner maps, or NULL */
	struct lbpf_like like;	   /* the map of option `like`; kept by the table of options */
	struct lbpf_holder *token; /* kept by the table of options, or NULL */
	const struct lbpf_mapkind *kind;
	int key_id, value_id;	   /* ids in the map's own BTF, or 0 */
	bool like_key, like_value; /* the types are those of `like` */
	bool without_btf;	   /* the token doesn't allow loading BTF */
	struct bpf_map_create_opts opts;
};

static const struct lbpf_option create_options[] = {
	LBPF_OPTION(STRING, struct create, type),
	{ "key", LBPF_OPT_OTHER, 0 },
	{ "value", LBPF_OPT_OTHER, 0 },
	LBPF_OPTION(U32, struct create, max_entries),
	LBPF_OPTION(STRING, struct create, name),
	{ "flags", LBPF_OPT_OTHER, 0 },
	LBPF_OPTION(U32, struct create, key_size),
	LBPF_OPTION(U32, struct create, value_size),
	LBPF_OPTION(U64, struct create, map_extra),
	LBPF_OPTION(U32, struct create, numa_node),
	LBPF_OPTION(U32, struct create, ifindex),
	{ "inner", LBPF_OPT_OTHER, 0 },
	{ "like", LBPF_OPT_OTHER, 0 },
	{ "token", LBPF_OPT_OTHER, 0 },
	{ NULL, LBPF_OPT_OTHER, 0 },
};

/* Descriptors that creating a map may open at a time: the map, its BTF, and those that libbpf opens to probe the
 * kernel. */
#define DESCRIPTORS 4

static int map_create(lua_State *L);

/* Pushes why creating the map may have failed with EPERM. */
static const char *push_refused(lua_State *L, const struct create *c, const struct lbpf_mapcause *given)
{
	const char *needed = lbpf_mapcause_needs(given);

	if (c->token)
		return lua_pushfstring(L,
				       "the token doesn't allow it; perhaps its bpffs isn't mounted with "
				       "delegate_cmds=map_create:btf_load and delegate_maps=%s, or %s is missing in "
				       "the user namespace",
				       c->kind->name, needed);
	if (!lbpf_takes_token())
		return lbpf_refused(L, needed);
	return lua_pushfstring(L, "%s; in a user namespace it takes a BPF token: bpf.token, and option 'token'",
			       lbpf_refused(L, needed));
}

static int create_fail(lua_State *L, const struct create *c, const struct lbpf_map *map, int err)
{
	struct lbpf_mapcause given = { .kind = c->kind,
				       .inner = c->inner ? c->inner->kind : NULL,
				       .name = c->name,
				       .key_size = map->key_size,
				       .value_size = map->value_size,
				       .max_entries = c->max_entries,
				       .flags = c->flags,
				       .numa_node = c->numa_node,
				       .ifindex = c->ifindex,
				       .extra = c->map_extra,
				       .typed = c->opts.btf_fd != 0,
				       .owned = map->value && map->value->owned };
	const char *cause = err == EPERM ? push_refused(L, c, &given) : lbpf_mapcause_push(L, &given, err);

	return lbpf_err_push(L, err, cause, "map.create (%s%s%s)", c->kind->name, *c->name ? " " : "", c->name);
}

/* Compiles the type in option `what` of the table at 1, or the preset type. If it is C text, adds it to btf. Returns
 * its id in btf. */
static int create_type(lua_State *L, struct btf *btf, const char *what, uint32_t size, const char *preset,
		       struct lbpf_type **type)
{
	int id = 0, is_text;

	if (lua_getfield(L, 1, what) == LUA_TNIL && !size && preset) {
		lua_pop(L, 1);
		lua_pushstring(L, preset);
	}
	is_text = lua_type(L, -1) == LUA_TSTRING;
	if (lua_isnil(L, -1) && size) {
		lua_pop(L, 1);
		lua_pushinteger(L, (lua_Integer)size);
	} else if (size && !lua_isnil(L, -1)) {
		luaL_error(L, "map.create: give %s or %s_size, not both", what, what);
	}
	if (lua_isnil(L, -1))
		return 0;
	if (is_text)
		id = lbpf_btf_add(L, btf, lua_gettop(L));
	if (id)
		*type = lbpf_btf_compile(L, btf, (uint32_t)id);
	else
		*type = lbpf_btf_spec(L, -1, NULL, what);
	lua_remove(L, -2);
	return id;
}

/* Adds a byte array to the BTF for a key or value without a C type, because the kernel requires types of both or of
 * none. */
static int add_bytes(lua_State *L, struct btf *btf, uint32_t size)
{
	int id;

	lua_pushfstring(L, "unsigned char[%I]", (LUAI_UACINT)size);
	id = lbpf_btf_add(L, btf, lua_gettop(L));
	lua_pop(L, 1);
	return id;
}

/* If option `like` determines the type of the key or value, pushes that type, which may be nil, and returns true. */
static bool push_alike(lua_State *L, const struct create *c, const char *what, uint32_t size, int slot)
{
	bool alike = c->like.map && !size && lua_getfield(L, 1, what) == LUA_TNIL;

	if (alike) {
		lua_getfield(L, 1, "like");
		lua_getiuservalue(L, -1, slot);
	}
	return alike;
}

/* Stores the types of key and value in the map's user values. */
static void create_types(lua_State *L, struct create *c, struct lbpf_map *map, int idx, struct btf *btf)
{
	c->like_key = push_alike(L, c, "key", c->key_size, LBPF_MAP_KEY);
	if (c->like_key)
		map->key = lua_touserdata(L, -1);
	else
		c->key_id = create_type(L, btf, "key", c->key_size, c->kind->key_type, &map->key);
	if (map->key) {
		map->key_size = map->key->size;
		lua_setiuservalue(L, idx, LBPF_MAP_KEY);
	}
	lua_settop(L, idx + 1);
	c->like_value = push_alike(L, c, "value", c->value_size, LBPF_MAP_VALUE);
	if (c->like_value)
		map->value = lua_touserdata(L, -1);
	else
		c->value_id = create_type(L, btf, "value", c->value_size, c->kind->value_type, &map->value);
	if (map->value) {
		map->value_size = map->value->size;
		lua_setiuservalue(L, idx, LBPF_MAP_VALUE);
	}
	lua_settop(L, idx + 1);
	if (c->key_id && map->value_size && !c->value_id)
		c->value_id = add_bytes(L, btf, map->value_size);
	if (c->value_id && map->key_size && !c->key_id)
		c->key_id = add_bytes(L, btf, map->key_size);
}

/* Loads BTF into the kernel. Returns whether the kernel accepted it. */
static bool load_btf(lua_State *L, struct create *c, struct btf *btf)
{
	struct lbpf_log *log;
	const void *data;
	uint32_t size;
	int fd, err;

	if (c->token) {
		lbpf_token_check_open(L, c->token);
		data = btf__raw_data(btf, &size);
		fd = data ? lbpf_token_load_btf(c->token, data, size) : -ENOMEM;
		if (fd >= 0)
			btf__set_fd(btf, fd);
		c->without_btf = fd == -EPERM;
		return fd >= 0;
	}
	log = lbpf_log_begin(L);
	err = btf__load_into_kernel(btf);
	lbpf_log_end(log);
	lbpf_log_deliver(L, log);
	return !err;
}

/* Loads the BTF of the types into the kernel, if maps of this type may have BTF. Older kernels don't know every kind of
 * BTF type. Then the map is created without BTF, unless the kernel needs it to find its own members of the value, such
 * as a lock. */
static void create_give_btf(lua_State *L, struct create *c, const struct lbpf_map *map, struct btf *btf)
{
	if (c->kind->can & LBPF_NO_BTF || !c->value_id || !map->value || (!c->key_id && !(c->kind->can & LBPF_KEYLESS)))
		return;
	if (!load_btf(L, c, btf))
		return;
	c->opts.btf_fd = (uint32_t)btf__fd(btf);
	c->opts.btf_key_type_id = (uint32_t)c->key_id;
	c->opts.btf_value_type_id = (uint32_t)c->value_id;
}

static int create_call(const struct create *c, const struct lbpf_map *map, const struct bpf_map_create_opts *opts)
{
	int fd;

	if (c->token)
		return lbpf_token_create_map(c->token, c->kind->type, c->name, map->key_size, map->value_size,
					     c->max_entries, opts);
	fd = bpf_map_create(c->kind->type, *c->name ? c->name : NULL, map->key_size, map->value_size, c->max_entries,
			    opts);
	return fd < 0 ? -errno : fd;
}

/* Calls the kernel again without BTF if it may have refused the map because of the BTF. */
static int create_twice(const struct create *c, const struct lbpf_map *map)
{
	struct bpf_map_create_opts without = c->opts;
	int fd = create_call(c, map, &c->opts);

	if ((fd != -EINVAL && fd != -ENOTSUPP) || !c->opts.btf_fd || map->value->owned)
		return fd;
	without.btf_fd = without.btf_key_type_id = without.btf_value_type_id = 0;
	return create_call(c, map, &without);
}

static int create_map(struct create *c, const struct lbpf_map *map)
{
	int fd, btf = -1;

	c->opts.map_flags = c->flags;
	c->opts.map_extra = c->map_extra;
	c->opts.numa_node = c->numa_node;
	c->opts.map_ifindex = c->ifindex;
	c->opts.inner_map_fd = c->inner ? (uint32_t)c->inner->fd : 0;
	if (c->without_btf && (map->value->owned || c->kind->can & LBPF_STORAGE))
		return -EPERM;
	if (c->like_key && c->like_value && map->value && !(c->kind->can & LBPF_NO_BTF))
		btf = lbpf_like_btf(&c->like, &c->opts.btf_key_type_id, &c->opts.btf_value_type_id);
	if (btf >= 0)
		c->opts.btf_fd = (uint32_t)btf;
	else if (c->like_value)
		c->opts.btf_key_type_id = c->opts.btf_value_type_id = 0;
	fd = create_twice(c, map);
	if (btf >= 0)
		close(btf);
	return fd;
}

/* Stores the map of option `inner` in c->inner and on the stack. Returns 0, or the number of values that were pushed
 * for a failure. */
static int create_inner(lua_State *L, struct create *c)
{
	if (lua_getfield(L, 1, "inner") == LUA_TNIL)
		return 0;
	if (lua_istable(L, -1)) {
		lbpf_arg_own(L, lua_gettop(L));
		lua_pushvalue(L, -1);
		lua_setfield(L, 1, "inner"); /* the private copy */
		if (lua_getfield(L, -1, "token") == LUA_TNIL) {
			lua_getfield(L, 1, "token");
			lua_setfield(L, -3, "token");
		}
		lua_pop(L, 1);
		lua_pushcfunction(L, map_create);
		lua_insert(L, -2);
		lbpf_call(L, 1, 3);
		if (lua_isnil(L, -3))
			return 3;
		lua_pop(L, 2);
	}
	c->inner = lbpf_class_test(L, -1, &lbpf_map_class);
	if (!c->inner)
		return luaL_error(L, "map.create: option 'inner' must be a map or a table of options, got %s",
				  luaL_typename(L, -1));
	if (c->inner->fd < 0)
		lbpf_map_unusable(L, c->inner);
	return 0;
}

/* Whether the options at 1 have a field. */
static bool has_option(lua_State *L, const char *name)
{
	bool given = lua_getfield(L, 1, name) != LUA_TNIL;

	lua_pop(L, 1);
	return given;
}

/* Adds the options at idx, by which the template of a map of maps was made, to those at 1, which replace them. */
static void create_inherit(lua_State *L, int idx)
{
	bool key = has_option(L, "key") || has_option(L, "key_size");
	bool value = has_option(L, "value") || has_option(L, "value_size");

	for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
		const char *name = lua_tostring(L, -2);

		if ((key && strncmp(name, "key", 3) == 0) || (value && strncmp(name, "value", 5) == 0) ||
		    has_option(L, name))
			continue;
		lua_pushvalue(L, -1);
		lua_setfield(L, 1, name);
	}
}

/* Reads option `like`: what it says is what the other options replace. Returns 0, or the number of values that were
 * pushed for a failure. */
static int create_like(lua_State *L, struct create *c)
{
	int failed;

	while (lua_getfield(L, 1, "like") != LUA_TNIL) {
		failed = lbpf_like_push(L, lua_gettop(L), &c->like);
		if (failed)
			return failed;
		if (!lua_istable(L, -1))
			break;
		lua_pushnil(L);
		lua_setfield(L, 1, "like");
		create_inherit(L, lua_gettop(L));
		lua_settop(L, 1);
	}
	if (lua_isnil(L, -1) || !c->like.map) {
		lua_settop(L, 1);
		return 0;
	}
	lua_setfield(L, 1, "like");
	lua_settop(L, 1);
	c->kind = lbpf_mapkind_of(c->like.map->type);
	c->type = c->kind->name;
	c->max_entries = c->like.map->max_entries;
	/* the kernel doesn't tell the NUMA node, and no two arenas have the same address */
	c->flags = c->like.map->flags & ~(uint32_t)BPF_F_NUMA_NODE;
	c->map_extra = lbpf_mapkind_is_arena(c->kind) ? 0 : c->like.map->extra;
	return 0;
}

/* Reads option `token`. The table of options keeps the token. */
static void create_token(lua_State *L, struct create *c)
{
	if (lua_getfield(L, 1, "token") != LUA_TNIL) {
		c->token = lbpf_class_test(L, -1, &lbpf_token_class);
		if (!c->token)
			luaL_error(L, "map.create: option 'token' must be a token of bpf.token, got %s",
				   luaL_typename(L, -1));
		lbpf_token_check_open(L, c->token);
	}
	lua_pop(L, 1);
}

/*** Creates a map, without an object file, and returns its handle. The map lives as long as a handle, a pin, a program
or another map refers to it.
@function bpf.map.create
@tparam table options
- type: the kernel's name in lower case: "hash", "array", "percpu_hash", "lpm_trie", "queue", …
- like: a map whose type, key, value, max_entries, flags and map_extra the new one gets, with its BTF; other options
  replace them. For a map of maps: what the maps in it are like, to swap in a new one
- key, value: C types ("__u32", "struct hit { __u64 count; char comm[16]; }"), or sizes in bytes for raw strings. Leave
  them out where the kernel leaves no choice: indices are __u32, queues have no key, and maps of sockets, programs,
  interfaces and the like have the values that the kernel wants
- max_entries: the number of entries or slots; bytes of a ring buffer, pages of an arena; none for storage maps
- name: only the first 15 characters reach the kernel
- flags: "no_prealloc", "rdonly_prog", …, or a sequence of flags; an lpm_trie gets "no_prealloc" by itself
- key_size, value_size: sizes in bytes, instead of key and value
- inner: for maps of maps: a map, or the options to create one, that all inner maps have to be like
- map_extra: the number of hash functions of a bloom_filter, or the address of an arena
- numa_node: the NUMA node of the map's memory; also sets the flag "numa_node"
- ifindex: the index of the interface that the map is offloaded to
- token: a token of `bpf.token`, for a process in a user namespace. `inner` options without a token get the same one
@treturn bpf.map the map; C types become its BTF in the kernel
@treturn nil,string,string on failure: EINVAL (the message names the attribute where it can be known), EPERM, ENOMEM,
 E2BIG
@usage
local hits <close> = assert(map.create {
  type = "hash", name = "hits", max_entries = 1024, key = "__u32", value = "struct hit { __u64 count; char comm[16]; }",
})
hits[1] = { count = 5, comm = "curl" }
@see bpf_map_create */
static int map_create(lua_State *L)
{
	struct create c = { .name = "" };
	struct lbpf_map *map;
	struct lbpf_btf *btf;
	int fd;

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	lbpf_arg_own(L, 1);
	fd = create_like(L, &c);
	if (fd)
		return fd;
	lbpf_arg_options(L, 1, create_options, &c, "map.create");
	if (!c.type)
		luaL_error(L, "map.create: option 'type' is missing");
	c.kind = lbpf_mapkind_named(L, c.type);
	if (lua_getfield(L, 1, "flags") != LUA_TNIL)
		c.flags = (uint32_t)lbpf_arg_flags(L, -1, lbpf_map_flags, NULL);
	c.flags |= c.kind->flags;
	if (lua_getfield(L, 1, "numa_node") != LUA_TNIL)
		c.flags |= BPF_F_NUMA_NODE;
	lua_settop(L, 1);
	create_token(L, &c);
	fd = create_inner(L, &c);
	if (fd)
		return fd;
	lua_settop(L, 2); /* the inner map */
	c.opts.sz = sizeof(c.opts);
	map = lbpf_map_push_owned(L);
	map->kind = c.kind;
	btf = lbpf_btf_new_empty(L, NULL);
	create_types(L, &c, map, 3, btf->btf);
	fd = lbpf_spare(L, DESCRIPTORS);
	if (fd)
		return create_fail(L, &c, map, fd);
	create_give_btf(L, &c, map, btf->btf);
	map->type = c.kind->type;
	map->max_entries = c.max_entries;
	map->flags = c.flags;
	map->extra = c.map_extra;
	lbpf_map_set_name(map, c.name);
	fd = lbpf_map_set_kind(L, map, c.kind);
	if (fd)
		return lbpf_possible_cpus_fail(L, -fd, "map.create");
	/* The function given to bpf.log, or a finalizer, may have closed it. */
	if (c.inner && c.inner->fd < 0)
		lbpf_map_unusable(L, c.inner);
	if (c.token)
		lbpf_token_check_open(L, c.token);
	fd = create_map(&c, map);
	lbpf_btf_drop(btf);
	if (fd < 0)
		return create_fail(L, &c, map, -fd);
	map->fd = fd;
	lua_settop(L, 3);
	lua_getfield(L, 1, "inner"); /* a map, or a table of options */
	lua_setiuservalue(L, 3, LBPF_MAP_INNER);
	return 1;
}

void lbpf_mapcreate_open(lua_State *L)
{
	lua_getfield(L, -1, "map");
	lua_pushcfunction(L, map_create);
	lua_setfield(L, -2, "create");
	lua_pop(L, 1);
}
