/* SPDX-License-Identifier: MIT */
/* Operations on one entry of a map, as functions and as index syntax: encode, one system call, decode. */
#include "mapops.h"

#include <errno.h>

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "arg.h"
#include "err.h"
#include "map.h"
#include "syscall.h"

static const struct lbpf_name update_flags[] = {
	{ "any", BPF_ANY }, { "noexist", BPF_NOEXIST }, { "exist", BPF_EXIST }, { "lock", BPF_F_LOCK }, { NULL, 0 },
};

/* Absence is not failure: one nil. */
static int absent_or_fail(lua_State *L, const struct lbpf_map *map, int err, const char *operation)
{
	if (err != ENOENT)
		return lbpf_map_fail(L, map, err, operation);
	lua_pushnil(L);
	return 1;
}

/* What happened is no failure either, but the caller wants to know: false and why. */
static int refused(lua_State *L, int err)
{
	lua_pushboolean(L, 0);
	lbpf_err_code(L, err);
	return 2;
}

/* Reads options at idx: flags, and `into` if there is such a field, whose table is then pushed. */
static uint64_t lookup_options(lua_State *L, int idx, bool *into)
{
	*into = false;
	if (lua_istable(L, idx)) {
		if (lua_getfield(L, idx, "into") == LUA_TTABLE)
			*into = true;
		else if (lua_isnil(L, -1))
			lua_pop(L, 1);
		else
			luaL_error(L, "option 'into' must be a table, got %s", luaL_typename(L, -1));
	}
	return lbpf_arg_flags(L, idx, update_flags, "into");
}

/*** Looks a key up.
@function bpf.map.lookup
@tparam bpf.map m
@param key
@tparam ?string|table flags "lock", or a sequence of flags; a field `into` is a table to fill in place of a new one
@return a copy of the value, or one nil when there is no such key
@treturn nil,string,string on failure
@see bpf_map_lookup_elem_flags */
static int map_lookup(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, LBPF_LOOKUP, "lookup");
	bool into;
	uint64_t flags;

	luaL_checkany(L, 2);
	lua_settop(L, 3);
	flags = lookup_options(L, 3, &into);
	LBPF_SCRATCH(L, key, map->key_size);
	LBPF_SCRATCH(L, value, lbpf_map_bytes(map));
	lbpf_map_encode_key(L, map, 2, key);
	if (bpf_map_lookup_elem_flags(map->fd, key, value, flags))
		return absent_or_fail(L, map, errno, "lookup");
	if (into && map->kind->value)
		map->kind->value->decode(L, map, value, 4);
	else if (into)
		lbpf_decode_into(L, map->value, value, map->value_size, 4);
	else
		lbpf_map_decode_value(L, map, value);
	return 1;
}

/*** Looks a struct up and gives its members as values, without a table.
@function bpf.map.unpack
@tparam bpf.map m
@param key
@return the members in declaration order (the one value where it is no struct), or one nil when there is no such key
@treturn nil,string,string on failure
@see bpf_map_lookup_elem */
static int map_unpack(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, LBPF_LOOKUP, "lookup");

	luaL_checkany(L, 2);
	LBPF_SCRATCH(L, key, map->key_size);
	LBPF_SCRATCH(L, value, lbpf_map_bytes(map));
	lbpf_map_encode_key(L, map, 2, key);
	if (bpf_map_lookup_elem(map->fd, key, value))
		return absent_or_fail(L, map, errno, "lookup");
	if (map->kind->value) {
		lbpf_map_decode_value(L, map, value);
		return 1;
	}
	return lbpf_decode_unpack(L, map->value, value, map->value_size);
}

/*** Adds up the values that the CPUs have for a key.
@function bpf.map.sum
@tparam bpf.map m of a per-CPU type
@param key
@return one value, numbers added member by member; of texts the first that isn't empty, of other members that of CPU 0;
 one nil when there is no such key
@treturn nil,string,string on failure */
static int map_sum(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, LBPF_LOOKUP | LBPF_PERCPU, "values to sum");

	luaL_checkany(L, 2);
	LBPF_SCRATCH(L, key, map->key_size);
	LBPF_SCRATCH(L, value, lbpf_map_bytes(map));
	lbpf_map_encode_key(L, map, 2, key);
	if (bpf_map_lookup_elem(map->fd, key, value))
		return absent_or_fail(L, map, errno, "lookup");
	lbpf_decode_sum(L, map->value, value, map->stride, (int)map->cpus);
	return 1;
}

/*** Stores a value.
@function bpf.map.update
@tparam bpf.map m
@param key
@param value
@tparam ?string|table flags "any" (the default), "noexist", "exist", "lock", or a sequence of them
@treturn true
@treturn false,string when "noexist" or "exist" refused it: "EEXIST", "ENOENT"
@treturn nil,string,string on failure: E2BIG (full, or no such slot), ENOMEM, EPERM, …
@see bpf_map_update_elem */
static int map_update(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, LBPF_UPDATE, "update");
	uint64_t flags = lbpf_arg_flags(L, 4, update_flags, NULL);
	int err;

	luaL_checkany(L, 3);
	LBPF_SCRATCH(L, key, map->key_size);
	LBPF_SCRATCH(L, value, lbpf_map_bytes(map));
	lbpf_map_encode_key(L, map, 2, key);
	lbpf_map_encode_value(L, map, 3, value);
	if (bpf_map_update_elem(map->fd, key, value, flags)) {
		err = errno;
		if ((err == EEXIST && flags & BPF_NOEXIST) || (err == ENOENT && flags & BPF_EXIST))
			return refused(L, err);
		return lbpf_map_fail(L, map, err, "update");
	}
	lua_pushboolean(L, 1);
	return 1;
}

/*** Deletes an entry.
@function bpf.map.delete
@tparam bpf.map m
@param key
@treturn true
@treturn false,string "ENOENT" when there is no such key
@treturn nil,string,string on failure
@see bpf_map_delete_elem */
static int map_delete(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, LBPF_DELETE, "delete");

	luaL_checkany(L, 2);
	LBPF_SCRATCH(L, key, map->key_size);
	lbpf_map_encode_key(L, map, 2, key);
	if (bpf_map_delete_elem(map->fd, key))
		return errno == ENOENT ? refused(L, ENOENT) : lbpf_map_fail(L, map, errno, "delete");
	lua_pushboolean(L, 1);
	return 1;
}

/* Kernels before 5.14 take entries out of queues and stacks only; there, two calls do it for the rest. */
static int take(const struct lbpf_map *map, const void *key, void *value, uint64_t flags)
{
	if (bpf_map_lookup_and_delete_elem_flags(map->fd, key, value, flags) == 0)
		return 0;
	if (flags || (errno != ENOTSUPP && errno != EINVAL))
		return errno;
	if (bpf_map_lookup_elem(map->fd, key, value) || bpf_map_delete_elem(map->fd, key))
		return errno;
	return 0;
}

/*** Takes an entry out of the map. In one step since kernel 5.14; before, another writer can come in between.
@function bpf.map.lookup_and_delete
@tparam bpf.map m
@param key
@tparam ?string|table flags "lock"
@return the value that was there, or one nil when there is no such key
@treturn nil,string,string on failure
@see bpf_map_lookup_and_delete_elem_flags */
static int map_lookup_and_delete(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, LBPF_TAKE, "lookup_and_delete");
	uint64_t flags = lbpf_arg_flags(L, 3, update_flags, NULL);
	int err;

	luaL_checkany(L, 2);
	LBPF_SCRATCH(L, key, map->key_size);
	LBPF_SCRATCH(L, value, lbpf_map_bytes(map));
	lbpf_map_encode_key(L, map, 2, key);
	err = take(map, key, value, flags);
	if (err)
		return absent_or_fail(L, map, err, "lookup_and_delete");
	lbpf_map_decode_value(L, map, value);
	return 1;
}

/*** The key that follows another in the kernel's order. Prefer pairs and keys: when `key` isn't in the map (any more),
the kernel starts over from the first.
@function bpf.map.next_key
@tparam bpf.map m
@param ?key nil for the first
@return the next key, or one nil after the last
@treturn nil,string,string on failure
@see bpf_map_get_next_key */
static int map_next_key(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, LBPF_WALK, "next_key");
	bool first = lua_isnoneornil(L, 2);

	LBPF_SCRATCH(L, key, map->key_size);
	LBPF_SCRATCH(L, next, map->key_size);
	if (!first)
		lbpf_map_encode_key(L, map, 2, key);
	if (bpf_map_get_next_key(map->fd, first ? NULL : key, next))
		return absent_or_fail(L, map, errno, "next_key");
	lbpf_map_decode_key(L, map, next);
	return 1;
}

/*** Adds an element to a queue or stack.
@function bpf.map.push
@tparam bpf.map m
@param value
@tparam ?string|table flags "exist" makes room by dropping the oldest element
@treturn true
@treturn nil,string,string on failure: E2BIG when it is full
@see bpf_map_update_elem */
static int map_push(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, LBPF_PUSH, "push");
	uint64_t flags = lbpf_arg_flags(L, 3, update_flags, NULL);

	luaL_checkany(L, 2);
	LBPF_SCRATCH(L, value, lbpf_map_bytes(map));
	lbpf_map_encode_value(L, map, 2, value);
	if (bpf_map_update_elem(map->fd, NULL, value, flags))
		return lbpf_map_fail(L, map, errno, "push");
	lua_pushboolean(L, 1);
	return 1;
}

/*** Takes the next element: a queue's oldest, a stack's newest.
@function bpf.map.pop
@tparam bpf.map m
@return the element, or one nil when the map is empty
@treturn nil,string,string on failure
@see bpf_map_lookup_and_delete_elem */
static int map_pop(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, LBPF_POP, "pop");

	LBPF_SCRATCH(L, value, lbpf_map_bytes(map));
	if (bpf_map_lookup_and_delete_elem(map->fd, NULL, value))
		return absent_or_fail(L, map, errno, "pop");
	lbpf_map_decode_value(L, map, value);
	return 1;
}

/*** Reads the next element and leaves it there.
@function bpf.map.peek
@tparam bpf.map m
@return the element, or one nil when the map is empty
@treturn nil,string,string on failure
@see bpf_map_lookup_elem */
static int map_peek(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, LBPF_POP, "peek");

	LBPF_SCRATCH(L, value, lbpf_map_bytes(map));
	if (bpf_map_lookup_elem(map->fd, NULL, value))
		return absent_or_fail(L, map, errno, "peek");
	lbpf_map_decode_value(L, map, value);
	return 1;
}

/* ---- syntax ---- */

static int map_index(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, LBPF_LOOKUP, "lookup");

	LBPF_SCRATCH(L, key, map->key_size);
	LBPF_SCRATCH(L, value, lbpf_map_bytes(map));
	lbpf_map_encode_key(L, map, 2, key);
	if (lbpf_unlikely(lbpf_sys_elem(BPF_MAP_LOOKUP_ELEM, map->fd, key, value, 0))) {
		if (errno != ENOENT)
			lbpf_map_raise(L, map, errno, "lookup");
		lua_pushnil(L);
		return 1;
	}
	lbpf_map_decode_value(L, map, value);
	return 1;
}

static int map_newindex(lua_State *L)
{
	bool delete = lua_isnil(L, 3);
	const char *operation = delete ? "delete" : "update";
	struct lbpf_map *map = lbpf_map_check(L, 1, delete ? LBPF_DELETE : LBPF_UPDATE, operation);

	LBPF_SCRATCH(L, key, map->key_size);
	LBPF_SCRATCH(L, value, lbpf_map_bytes(map));
	lbpf_map_encode_key(L, map, 2, key);
	if (delete) {
		if (lbpf_sys_elem(BPF_MAP_DELETE_ELEM, map->fd, key, NULL, 0) && errno != ENOENT)
			lbpf_map_raise(L, map, errno, operation);
		return 0;
	}
	lbpf_map_encode_value(L, map, 3, value);
	if (lbpf_unlikely(lbpf_sys_elem(BPF_MAP_UPDATE_ELEM, map->fd, key, value, BPF_ANY)))
		lbpf_map_raise(L, map, errno, operation);
	return 0;
}

static const luaL_Reg map_functions[] = {
	{ "lookup", map_lookup },     { "unpack", map_unpack }, { "sum", map_sum },
	{ "update", map_update },     { "delete", map_delete }, { "lookup_and_delete", map_lookup_and_delete },
	{ "next_key", map_next_key }, { "push", map_push },	{ "pop", map_pop },
	{ "peek", map_peek },	      { NULL, NULL },
};

static const luaL_Reg map_meta[] = {
	{ "__index", map_index },
	{ "__newindex", map_newindex },
	{ NULL, NULL },
};

void lbpf_mapops_open(lua_State *L)
{
	lbpf_class_extend(L, &lbpf_map_class, map_meta);
	lua_getfield(L, -1, "map");
	luaL_setfuncs(L, map_functions, 0);
	lua_pop(L, 1);
}
