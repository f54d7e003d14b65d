/* SPDX-License-Identifier: MIT */
/* Opening maps that exist already: by pin, id or descriptor; handles with other types; and pins. */
#define _GNU_SOURCE
#include "map/open.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <linux/bpf.h>

#include "base/arg.h"
#include "base/bpffd.h"
#include "base/cause.h"
#include "base/err.h"
#include "base/log.h"
#include "base/spare.h"
#include "btf/btf.h"
#include "map/map.h"

int lbpf_map_describe(lua_State *L, struct lbpf_map *map)
{
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);
	struct lbpf_btf *handle;
	int err = 0;

	if (!lbpf_fd_is_map(map->fd))
		return EINVAL;
	if (bpf_obj_get_info_by_fd(map->fd, &info, &len))
		return errno;
	map->type = info.type;
	map->key_size = info.key_size;
	map->value_size = info.value_size;
	map->max_entries = info.max_entries;
	map->flags = info.map_flags;
	map->extra = info.map_extra;
	lbpf_map_set_name(map, info.name);
	err = lbpf_map_set_kind(L, map, lbpf_mapkind_of(info.type));
	if (err)
		return err;
	handle = lbpf_btf_new(L);
	if (info.btf_id) {
		struct lbpf_log *log = lbpf_log_begin(L);

		handle->btf = btf__load_from_kernel_by_id(info.btf_id);
		err = handle->btf ? 0 : errno;
		lbpf_log_end(log);
	}
	map->untyped = err == EPERM;
	if (err && !map->untyped) {
		lua_pop(L, 1);
		return err;
	}
	lua_insert(L, -2);
	lbpf_map_set_types(L, map, handle->btf, info.btf_key_type_id, info.btf_value_type_id);
	lua_remove(L, -2);
	return 0;
}

/* Fills in the map on the stack below the operation's name, which is at the top. If that fails, closes the map at once
 * and pushes nil, message and code. Returns how many values were pushed. */
static int map_finish(lua_State *L, struct lbpf_map *map, const char *cause, const char *what)
{
	int err;

	lua_insert(L, -2);
	err = lbpf_map_describe(L, map);
	if (!err)
		return 1;
	lbpf_map_class.release(L, -1, map);
	return lbpf_err_push(L, err, err == EINVAL ? cause : NULL, "%s", what);
}

static const struct lbpf_name open_flags[] = {
	{ "rdonly", BPF_F_RDONLY },
	{ "wronly", BPF_F_WRONLY },
	{ NULL, 0 },
};

static const char *open_cause(const char *path, int err)
{
	if (lbpf_no_pin(path))
		return lbpf_no_pin(path);
	if (err == EPERM)
		return "refused; before Linux 5.19 it takes CAP_BPF where kernel.unprivileged_bpf_disabled is set";
	return err == EACCES ? "the permissions of the pin or its folder don't allow it" : NULL;
}

/*** Opens a pinned map and returns its handle. A map without BTF has keys and values of raw bytes: see bpf.map.typed.
@function bpf.map.open
@tparam string path of the pin, on a bpffs
@tparam ?string flags "rdonly" for a handle that can't change the map, "wronly" for one that can't read it
@treturn bpf.map the map, typed by its BTF if it has any
@treturn nil,string,string on failure: ENOENT, EACCES (the permissions of the pin or its folder), EPERM (before Linux
 5.19: no CAP_BPF while kernel.unprivileged_bpf_disabled is set), EINVAL (the pin of something else)
@usage
assert(map.pin(m, "/sys/fs/bpf/hits"))
local hits <close> = assert(map.open("/sys/fs/bpf/hits", "rdonly"))
print(hits[1])  -- 10
assert(map.unpin(m, "/sys/fs/bpf/hits"))
@see bpf_obj_get_opts */
static int map_open(lua_State *L)
{
	const char *path = lbpf_arg_string(L, 1);
	LIBBPF_OPTS(bpf_obj_get_opts, opts, .file_flags = (uint32_t)lbpf_arg_flags(L, 2, open_flags, NULL));
	struct lbpf_map *map = lbpf_map_push_owned(L);
	int err;

	map->fd = bpf_obj_get_opts(path, &opts);
	err = errno;
	if (map->fd < 0)
		return lbpf_err_push(L, err, open_cause(path, err), "map.open '%s'", path);
	return map_finish(L, map, "this is no map", lua_pushfstring(L, "map.open '%s'", path));
}

static int push_id(lua_State *L, uint32_t id)
{
	struct lbpf_map *map = lbpf_map_push_new(L);
	int err;

	map->owns_fd = true;
	map->fd = bpf_map_get_fd_by_id(id);
	err = map->fd < 0 ? errno : lbpf_map_describe(L, map);
	if (err) {
		lbpf_map_class.release(L, -1, map);
		lua_pop(L, 1);
	}
	return err;
}

/* Looking up an inner map is frequent, so descriptors aren't checked beforehand; if there are none, the call is
 * repeated after a collection. */
int lbpf_map_push_id(lua_State *L, uint32_t id)
{
	int err = push_id(L, id);

	errno = err;
	if (err && lbpf_spare_again(L, LBPF_MAP_DESCRIPTORS))
		err = push_id(L, id);
	return err;
}

/*** Opens a map by its kernel id and returns its handle. Once a map is gone, its id names no map.
@function bpf.map.by_id
@tparam integer id as in `bpf.map.info(m).id` and bpftool's output
@tparam ?string flags "rdonly" for a handle that can't change the map, "wronly" for one that can't read it
@treturn bpf.map the map, typed by its BTF if it has any
@treturn nil,string,string on failure: ENOENT (no such map), EPERM (no CAP_SYS_ADMIN)
@usage
local same <close> = assert(map.by_id(map.info(m).id))
assert(same == m and same[1] == 10)
@see bpf_map_get_fd_by_id_opts */
static int map_by_id(lua_State *L)
{
	lua_Integer id = lbpf_arg_int(L, 1, 0, UINT32_MAX);
	LIBBPF_OPTS(bpf_get_fd_by_id_opts, opts, .open_flags = (uint32_t)lbpf_arg_flags(L, 2, open_flags, NULL));
	struct lbpf_map *map = lbpf_map_push_owned(L);

	map->fd = bpf_map_get_fd_by_id_opts((uint32_t)id, &opts);
	if (map->fd < 0)
		return lbpf_err_push(L, errno,
				     errno == ENOENT	      ? "no such map"
					     : errno == EPERM ? lbpf_refused(L, "CAP_SYS_ADMIN")
							      : NULL,
				     "map.by_id %I", (LUAI_UACINT)id);
	return map_finish(L, map, NULL, lua_pushfstring(L, "map.by_id %I", (LUAI_UACINT)id));
}

/*** Makes a handle for the map behind a file descriptor. The handle has a duplicate of the descriptor: closing one does
not close the other.
@function bpf.map.by_fd
@tparam integer fd descriptor of a map
@treturn bpf.map the map, typed by its BTF if it has any; closing it leaves `fd` open
@treturn nil,string,string on failure: EBADF, EINVAL (the descriptor of something else)
@usage
local same <close> = assert(map.by_fd(map.fd(m)))
same[1] = 11
assert(m[1] == 11) */
static int map_by_fd(lua_State *L)
{
	int fd = (int)lbpf_arg_int(L, 1, 0, INT32_MAX);
	struct lbpf_map *map = lbpf_map_push_owned(L);

	map->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (map->fd < 0)
		return lbpf_err_push(L, errno, NULL, "map.by_fd %d", fd);
	return map_finish(L, map, "this is no map's descriptor", lua_pushfstring(L, "map.by_fd %d", fd));
}

/*** Makes another handle for a map, with C types of your choice. Use it for a map without BTF, or to read the bytes in
another way. The map itself and its first handle don't change. A type of the wrong size raises an error.
@function bpf.map.typed
@tparam bpf.map m the map
@tparam ?string|integer|bpf.type key C type of the keys; nil keeps the map's
@tparam ?string|integer|bpf.type value C type of the values; nil keeps the map's
@treturn bpf.map another handle of the same map, to be closed on its own
@usage
local halves <close> = map.typed(m, nil, "struct halves { __u32 low, high; }")
print(halves[1].low)  -- 10 where low bytes come first */
static int map_typed(lua_State *L)
{
	static const char *const whats[] = { "key", "value" };
	struct lbpf_map *from = lbpf_map_check(L, 1, 0, "typed"), *map;
	struct lbpf_type *types[2] = { from->key, from->value };

	if (from->column)
		luaL_error(L, "map '%s': typed: a column has the types of its map: make one of map.typed(m, …)",
			   lbpf_map_label(from));
	lua_settop(L, 3);
	map = lbpf_map_push_owned(L);
	memcpy((char *)map + sizeof(map->head), (char *)from + sizeof(from->head), sizeof(*map) - sizeof(map->head));
	map->owns_fd = true;
	map->of = NULL;
	map->btf = NULL;
	map->mem = (struct lbpf_mapmem){ 0 };
	map->fd = fcntl(from->fd, F_DUPFD_CLOEXEC, 0);
	if (map->fd < 0)
		return lbpf_err_push(L, errno, NULL, "map '%s': typed", lbpf_map_label(from));
	for (int i = 0; i < 2; i++) {
		uint32_t size = i ? map->value_size : map->key_size;

		if (lua_isnil(L, 2 + i)) {
			lua_getiuservalue(L, 1, LBPF_MAP_KEY + i);
			lua_setiuservalue(L, 4, LBPF_MAP_KEY + i);
			continue;
		}
		lbpf_map_push_spec(L, 1, 2 + i, whats[i]);
		types[i] = lbpf_map_set_type(L, 4, LBPF_MAP_KEY + i, size, whats[i]);
	}
	map->key = types[0];
	map->value = types[1];
	return 1;
}

/*** Pins a map at a path, which keeps the map when all handles are closed and lets other processes open it.
@function bpf.map.pin
@tparam bpf.map m
@tparam string path on a bpffs; nothing may exist there yet
@treturn true
@treturn nil,string,string on failure: EEXIST, ENOENT, EPERM, …
@usage
assert(map.pin(m, "/sys/fs/bpf/hits"))
assert(map.unpin(m, "/sys/fs/bpf/hits"))
@see bpf_obj_pin */
static int map_pin(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, 0, "pin");
	const char *path = lbpf_arg_string(L, 2);
	int err;

	if (bpf_obj_pin(map->fd, path)) {
		err = errno;
		return lbpf_err_push(L, err, lbpf_pin_cause(path, err), "map '%s': pin to '%s'", lbpf_map_label(map),
				     path);
	}
	lua_pushboolean(L, 1);
	return 1;
}

/*** Removes a pin of the map. The map itself lives as long as anything else refers to it.
@function bpf.map.unpin
@tparam bpf.map m
@tparam string path of a pin of this map
@treturn true
@treturn nil,string,string on failure: ENOENT, EINVAL (another object's pin), …
@usage
assert(map.pin(m, "/sys/fs/bpf/hits"))
assert(map.unpin(m, "/sys/fs/bpf/hits"))
assert(m[1] == 10)  -- the handle is still open
@see unlink(2) */
static int map_unpin(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, 0, "unpin");
	const char *path = lbpf_arg_string(L, 2);
	int err = lbpf_spare(L, 1);

	if (!err)
		err = lbpf_fd_unpin(map->fd, path);
	if (err)
		return lbpf_err_push(L, err, err == EINVAL ? "this is no pin of the map" : NULL, "map '%s': unpin '%s'",
				     lbpf_map_label(map), path);
	lua_pushboolean(L, 1);
	return 1;
}

static const luaL_Reg map_functions[] = {
	{ "open", map_open }, { "by_id", map_by_id }, { "by_fd", map_by_fd }, { "typed", map_typed },
	{ "pin", map_pin },   { "unpin", map_unpin }, { NULL, NULL },
};

void lbpf_mapopen_open(lua_State *L)
{
	lua_getfield(L, -1, "map");
	luaL_setfuncs(L, map_functions, 0);
	lua_pop(L, 1);
}
