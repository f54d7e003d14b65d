/* SPDX-License-Identifier: MIT */
/* Functions on one entry of a map: encode, make one system call, decode. */
#include "map/ops.h"

#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "base/arg.h"
#include "base/err.h"
#include "base/syscall.h"
#include "map/map.h"

const struct lbpf_name lbpf_update_flags[] = {
	{ "any", BPF_ANY }, { "noexist", BPF_NOEXIST }, { "exist", BPF_EXIST }, { "lock", BPF_F_LOCK }, { NULL, 0 },
};

/* An absent entry is no failure: pushes a single nil. */
static int absent_or_fail(lua_State *L, const struct lbpf_map *map, int err, const char *cause, const char *operation)
{
	if (err != ENOENT)
		return lbpf_map_fail_because(L, map, err, cause, operation);
	lua_pushnil(L);
	return 1;
}

/* A result that is no failure, but that the caller needs to know: pushes false and the code. */
static int refused(lua_State *L, int err)
{
	lua_pushboolean(L, 0);
	lbpf_err_code(L, err);
	return 2;
}

/* Fields that the table of flags may have as well. */
struct elem_options {
	uint64_t flags;
	lua_Integer cpu; /* -1: all of them */
	bool into;	 /* a table to fill, which is pushed */
};

static const char *const lookup_fields[] = { "into", "cpu", NULL };
static const char *const update_fields[] = { "cpu", NULL };

static lua_Integer cpu_option(lua_State *L, int idx, const struct lbpf_map *map)
{
	lua_Integer cpu = -1;
	int is_int;

	if (lua_getfield(L, idx, "cpu") != LUA_TNIL) {
		cpu = lua_tointegerx(L, -1, &is_int);
		if (!(map->kind->can & LBPF_PERCPU))
			luaL_error(L, "map '%s': option 'cpu' is for per-CPU maps, this is one of type %s",
				   lbpf_map_label(map), map->kind->name);
		if (!is_int || lua_type(L, -1) != LUA_TNUMBER || cpu < 0 || cpu >= map->cpus)
			luaL_error(L, "option 'cpu' must be an integer from 0 to %I", (LUAI_UACINT)map->cpus - 1);
	}
	lua_pop(L, 1);
	return cpu;
}

static struct elem_options elem_options(lua_State *L, int idx, const struct lbpf_map *map, const char *const *fields)
{
	struct elem_options o = { .cpu = -1 };

	if (lua_istable(L, idx)) {
		o.cpu = cpu_option(L, idx, map);
		o.into = fields == lookup_fields && lua_getfield(L, idx, "into") != LUA_TNIL;
		if (o.into && !lua_istable(L, -1))
			luaL_error(L, "option 'into' must be a table, got %s", luaL_typename(L, -1));
	}
	o.flags = lbpf_arg_flags(L, idx, lbpf_update_flags, fields);
	return o;
}

/* ---- the calls: memory where the map has some here, else bpf(2). They return an errno. ---- */

static int elem_lookup(struct lbpf_map *map, const void *key, void *value, uint64_t flags)
{
	const uint8_t *memory = flags ? NULL : lbpf_map_slot(map, key);

	if (!memory)
		return bpf_map_lookup_elem_flags(map->fd, key, value, flags) ? errno : 0;
	memcpy(value, memory, map->value_size);
	return 0;
}

static int elem_update(struct lbpf_map *map, const void *key, const void *value, uint64_t flags)
{
	uint8_t *memory = flags ? NULL : lbpf_map_slot(map, key);

	if (!memory || !map->mem.writable)
		return bpf_map_update_elem(map->fd, key, value, flags) ? errno : 0;
	lbpf_copy_value(memory, value, map->value_size);
	return 0;
}

/* Decodes a value that opens a descriptor, and pushes it; or nil, message and code. Returns how many values were
 * pushed. */
static int push_fetched(lua_State *L, struct lbpf_map *map, const void *value)
{
	int err = map->kind->value->fetch(L, map, value);

	return err ? lbpf_map_fail_because(L, map, err, lua_tostring(L, -1), "lookup") : 1;
}

/*** Looks up a key and returns a copy of its value. In an array created with the flag "mmapable", a look-up without
flags makes no system call.
@function bpf.map.lookup
@tparam bpf.map m
@param key
@tparam ?string|table flags "lock" reads the value under its bpf_spin_lock; or a sequence of flags, in which may be
- into: a table to fill instead of a new one
- cpu: the number of a CPU, from 0: returns that CPU's value of a per-CPU map
@return a copy of the value, or one nil if there is no such key
@treturn nil,string,string on failure
@usage
local count = map.lookup(m, 1)           -- 10
local second = map.lookup(cpus, 0, { cpu = 1 })
@see bpf_map_lookup_elem_flags */
static int map_lookup(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, LBPF_LOOKUP, "lookup");
	struct elem_options o;
	const char *one;
	int err;

	luaL_checkany(L, 2);
	lua_settop(L, 3);
	o = elem_options(L, 3, map, lookup_fields);
	LBPF_SCRATCH(L, key, map->key_size);
	LBPF_SCRATCH(L, value, lbpf_map_bytes(map));
	err = lbpf_map_encode_key(L, map, 2, key);
	if (!err)
		err = elem_lookup(map, key, value, o.flags);
	if (err)
		return absent_or_fail(L, map, err, lbpf_map_invalid(map, err, o.flags), "lookup");
	if (map->kind->value && map->kind->value->fetch)
		return push_fetched(L, map, value);
	one = (const char *)value + (o.cpu < 0 ? 0 : (size_t)o.cpu * map->stride);
	if (map->kind->value && o.cpu < 0)
		map->kind->value->decode(L, map, value, o.into ? 4 : 0);
	else if (o.into)
		lbpf_decode_into(L, map->value, one + map->at, map->value->size, 4);
	else
		lbpf_map_decode_one(L, map, one);
	return 1;
}

/*** Looks up a struct and returns its members as separate values. That creates no table for the struct.
@function bpf.map.unpack
@tparam bpf.map m
@param key
@return the members in declaration order (a value that is no struct as it is), or one nil if there is no such key
@treturn nil,string,string on failure
@usage
local count, comm = map.unpack(hits, 1)
print(count, comm)  -- 5  curl
@see bpf_map_lookup_elem */
static int map_unpack(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, LBPF_LOOKUP, "lookup");
	int err;

	luaL_checkany(L, 2);
	LBPF_SCRATCH(L, key, map->key_size);
	LBPF_SCRATCH(L, value, lbpf_map_bytes(map));
	err = lbpf_map_encode_key(L, map, 2, key);
	if (!err)
		err = elem_lookup(map, key, value, 0);
	if (err)
		return absent_or_fail(L, map, err, NULL, "lookup");
	if (map->kind->value && map->kind->value->fetch)
		return push_fetched(L, map, value);
	if (map->kind->value) {
		lbpf_map_decode_value(L, map, value);
		return 1;
	}
	return lbpf_decode_unpack(L, map->value, (const uint8_t *)value + map->at, map->value->size);
}

/*** Returns the sum of all CPUs' values for a key. Numbers are added member by member. For texts (char[N]), the sum is
the first one that isn't empty; for other members, it is CPU 0's value.
@function bpf.map.sum
@tparam bpf.map m of a per-CPU type
@param key
@return the sum, or one nil if there is no such key
@treturn nil,string,string on failure
@usage
cpus[0] = 2  -- sets every CPU's value
assert(map.sum(cpus, 0) == 2 * #cpus[0]) */
static int map_sum(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, LBPF_LOOKUP | LBPF_PERCPU, "values to sum");
	int err;

	luaL_checkany(L, 2);
	LBPF_SCRATCH(L, key, map->key_size);
	LBPF_SCRATCH(L, value, lbpf_map_bytes(map));
	err = lbpf_map_encode_key(L, map, 2, key);
	if (!err)
		err = elem_lookup(map, key, value, 0);
	if (err)
		return absent_or_fail(L, map, err, NULL, "lookup");
	lbpf_map_decode_sum(L, map, value);
	return 1;
}

/* Encodes the value at stack index 3 as the value of one CPU. The values of the other CPUs are those in `value`, or
 * zero. */
static int encode_one_cpu(lua_State *L, struct lbpf_map *map, const void *key, void *value, lua_Integer cpu)
{
	int err = elem_lookup(map, key, value, 0);

	if (err && err != ENOENT)
		return err;
	if (err)
		memset(value, 0, lbpf_map_bytes(map));
	lbpf_encode(L, map->value, 3, (char *)value + (size_t)cpu * map->stride, "value");
	return 0;
}

/*** Inserts or replaces an entry. In an array created with the flag "mmapable", an update without flags makes no system
call.
@function bpf.map.update
@tparam bpf.map m
@param key
@param value
@tparam ?string|table flags "any" (the default), "noexist" to insert only, "exist" to replace only, "lock" to write
 under the value's bpf_spin_lock; or a sequence of flags, in which may be
- cpu: the number of a CPU, from 0: sets only that CPU's value of a per-CPU map. It reads the values of all CPUs and
  writes all of them back, because the kernel can't update a single one; what programs change in between is lost
@treturn true
@treturn false,string when "noexist" or "exist" refuses it: "EEXIST", "ENOENT"
@treturn nil,string,string on failure: E2BIG (full, or no such slot), ENOMEM, EPERM, …
@usage
assert(map.update(m, 4, 40))
local inserted, code = map.update(m, 4, 0, "noexist")  -- false, "EEXIST"
@see bpf_map_update_elem */
static int map_update(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, LBPF_UPDATE, "update");
	struct elem_options o;
	int err;

	luaL_checkany(L, 3);
	o = elem_options(L, 4, map, update_fields);
	LBPF_SCRATCH(L, key, map->key_size);
	LBPF_SCRATCH(L, value, lbpf_map_bytes(map));
	err = lbpf_map_encode_key(L, map, 2, key);
	if (!err)
		err = o.cpu < 0 ? lbpf_map_encode_value(L, map, 3, value) : encode_one_cpu(L, map, key, value, o.cpu);
	if (err)
		return lbpf_map_fail_because(L, map, err, o.cpu < 0 ? lua_tostring(L, -1) : NULL, "update");
	err = elem_update(map, key, value, o.flags);
	if (err && ((err == EEXIST && o.flags & BPF_NOEXIST) || (err == ENOENT && o.flags & BPF_EXIST)))
		return refused(L, err);
	if (err)
		return lbpf_map_fail_because(L, map, err, lbpf_map_invalid(map, err, o.flags), "update");
	lua_pushboolean(L, 1);
	return 1;
}

/* Encodes the values from stack index 3 to `last`. `value` may be a userdata at the top, which encoding must not take
 * for one of them. */
static int encode_packed(lua_State *L, struct lbpf_map *map, void *value, int last)
{
	if (map->kind->value) {
		if (last != 3)
			luaL_error(L, "value: a map of type %s takes one value, got %d", map->kind->name, last - 2);
		return lbpf_map_encode_value(L, map, 3, value);
	}
	lbpf_encode_pack(L, map->value, 3, last - 2, value, "value");
	return 0;
}

/*** Stores a struct, of which each member is an argument: the counterpart of `map.unpack`. That creates no table for
the struct. To pass flags, use `map.update`.
@function bpf.map.pack
@tparam bpf.map m
@param key
@param ... a value for each member, in declaration order; nil leaves a member zero. A value that is no struct as it is
@treturn true
@treturn nil,string,string on failure: E2BIG (full, or no such slot), ENOMEM, EPERM, …
@usage
assert(map.pack(hits, 2, 7, "wget"))
print(map.unpack(hits, 2))  -- 7  wget
@see bpf_map_update_elem */
static int map_pack(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, LBPF_UPDATE, "update");
	int last = lua_gettop(L), err;

	luaL_checkany(L, 2);
	LBPF_SCRATCH(L, key, map->key_size);
	LBPF_SCRATCH(L, value, lbpf_map_bytes(map));
	err = lbpf_map_encode_key(L, map, 2, key);
	if (!err)
		err = encode_packed(L, map, value, last);
	if (err)
		return lbpf_map_fail_because(L, map, err, lua_tostring(L, -1), "update");
	err = elem_update(map, key, value, 0);
	if (err)
		return lbpf_map_fail_because(L, map, err, lbpf_map_invalid(map, err, 0), "update");
	lua_pushboolean(L, 1);
	return 1;
}

int lbpf_map_erase(const struct lbpf_map *map, const void *key)
{
	int err = lbpf_sys_elem(BPF_MAP_DELETE_ELEM, map->fd, key, NULL, 0);

	return map->kind->can & LBPF_INDEXED && (err == EINVAL || err == E2BIG) ? ENOENT : err;
}

/*** Deletes an entry and returns whether it was there.
@function bpf.map.delete
@tparam bpf.map m
@param key
@treturn true when the entry was there
@treturn false,string "ENOENT" when there is no such key
@treturn nil,string,string on failure
@usage
assert(map.delete(m, 1) == true)
print(map.delete(m, 1))  -- false  ENOENT
@see bpf_map_delete_elem */
static int map_delete(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, LBPF_DELETE, "delete");
	int err;

	luaL_checkany(L, 2);
	LBPF_SCRATCH(L, key, map->key_size);
	err = lbpf_map_encode_key(L, map, 2, key);
	if (!err)
		err = lbpf_map_erase(map, key);
	if (err)
		return err == ENOENT ? refused(L, ENOENT) : lbpf_map_fail(L, map, err, "delete");
	lua_pushboolean(L, 1);
	return 1;
}

int lbpf_map_take(const struct lbpf_map *map, const void *key, void *value, uint64_t flags)
{
	if (bpf_map_lookup_and_delete_elem_flags(map->fd, key, value, flags) == 0)
		return 0;
	if (flags || (errno != ENOTSUPP && errno != EINVAL))
		return errno;
	return bpf_map_lookup_elem(map->fd, key, value) ? errno : lbpf_map_erase(map, key);
}

/*** Deletes an entry and returns its value. Since kernel 5.14 that is atomic. Before, it takes two system calls, and
another writer can change the entry between them.
@function bpf.map.lookup_and_delete
@tparam bpf.map m
@param key
@tparam ?string|table flags "lock" reads the value under its bpf_spin_lock
@return the value, or one nil if there is no such key
@treturn nil,string,string on failure
@usage
assert(map.lookup_and_delete(m, 1) == 10)
assert(m[1] == nil)
@see bpf_map_lookup_and_delete_elem_flags */
static int map_lookup_and_delete(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, LBPF_TAKE, "lookup_and_delete");
	uint64_t flags = lbpf_arg_flags(L, 3, lbpf_update_flags, NULL);
	int err;

	luaL_checkany(L, 2);
	LBPF_SCRATCH(L, key, map->key_size);
	LBPF_SCRATCH(L, value, lbpf_map_bytes(map));
	err = lbpf_map_encode_key(L, map, 2, key);
	if (!err)
		err = lbpf_map_take(map, key, value, flags);
	if (err)
		return absent_or_fail(L, map, err, NULL, "lookup_and_delete");
	lbpf_map_decode_value(L, map, value);
	return 1;
}

/*** Returns the key that follows another one in the kernel's order. If `key` is not in the map any more, the kernel
starts over from the first key. `pairs` and `map.keys` never start over, so prefer them.
@function bpf.map.next_key
@tparam bpf.map m
@param ?key nil for the first key
@return the next key, or one nil after the last
@treturn nil,string,string on failure
@usage
local key = map.next_key(m)
while key do
  print(key)  -- 1, 2 and 3, in the kernel's order
  key = map.next_key(m, key)
end
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
		return absent_or_fail(L, map, errno, NULL, "next_key");
	lbpf_map_decode_key(L, map, next);
	return 1;
}

/*** Adds an element to a queue, a stack or a Bloom filter. It does not wait when the map is full.
@function bpf.map.push
@tparam bpf.map m
@param value
@tparam ?string|table flags "exist" makes room by dropping the oldest element
@treturn true
@treturn nil,string,string on failure: E2BIG when it is full
@usage
for value = 1, 4 do assert(map.push(queue, value)) end  -- now it is full
assert(map.push(queue, 5, "exist"))                     -- drops 1
@see bpf_map_update_elem */
static int map_push(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, LBPF_PUSH, "push");
	uint64_t flags = lbpf_arg_flags(L, 3, lbpf_update_flags, NULL);

	luaL_checkany(L, 2);
	LBPF_SCRATCH(L, value, lbpf_map_bytes(map));
	lbpf_map_encode_value(L, map, 2, value);
	if (bpf_map_update_elem(map->fd, NULL, value, flags))
		return lbpf_map_fail(L, map, errno, "push");
	lua_pushboolean(L, 1);
	return 1;
}

/*** Removes the next element and returns it: a queue's oldest, a stack's newest. It does not wait for an element.
@function bpf.map.pop
@tparam bpf.map m
@return the element, or one nil if the map is empty
@treturn nil,string,string on failure
@usage
assert(map.push(queue, 7))
assert(map.pop(queue) == 7 and map.pop(queue) == nil)
@see bpf_map_lookup_and_delete_elem */
static int map_pop(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, LBPF_POP, "pop");

	LBPF_SCRATCH(L, value, lbpf_map_bytes(map));
	if (bpf_map_lookup_and_delete_elem(map->fd, NULL, value))
		return absent_or_fail(L, map, errno, NULL, "pop");
	lbpf_map_decode_value(L, map, value);
	return 1;
}

/*** Returns the next element and leaves it in the map: a queue's oldest, a stack's newest.
@function bpf.map.peek
@tparam bpf.map m
@return the element, or one nil if the map is empty
@treturn nil,string,string on failure
@usage
assert(map.push(queue, 7))
assert(map.peek(queue) == 7 and map.pop(queue) == 7)
@see bpf_map_lookup_elem */
static int map_peek(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, LBPF_POP, "peek");

	LBPF_SCRATCH(L, value, lbpf_map_bytes(map));
	if (bpf_map_lookup_elem(map->fd, NULL, value))
		return absent_or_fail(L, map, errno, NULL, "peek");
	lbpf_map_decode_value(L, map, value);
	return 1;
}

/*** Returns whether a value may have been pushed into a Bloom filter.
@function bpf.map.contains
@tparam bpf.map m of type bloom_filter
@param value
@treturn boolean false: certainly not; true: very likely
@treturn nil,string,string on failure
@usage
assert(map.push(filter, 7))
assert(map.contains(filter, 7))
@see bpf_map_lookup_elem
@since kernel 5.16 */
static int map_contains(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, LBPF_CONTAINS, "contains");
	bool absent;

	luaL_checkany(L, 2);
	LBPF_SCRATCH(L, value, lbpf_map_bytes(map));
	lbpf_map_encode_value(L, map, 2, value);
	absent = bpf_map_lookup_elem(map->fd, NULL, value);
	if (absent && errno != ENOENT)
		return lbpf_map_fail(L, map, errno, "contains");
	lua_pushboolean(L, !absent);
	return 1;
}

static const luaL_Reg map_functions[] = {
	{ "lookup", map_lookup },
	{ "unpack", map_unpack },
	{ "sum", map_sum },
	{ "pack", map_pack },
	{ "update", map_update },
	{ "delete", map_delete },
	{ "lookup_and_delete", map_lookup_and_delete },
	{ "next_key", map_next_key },
	{ "push", map_push },
	{ "pop", map_pop },
	{ "peek", map_peek },
	{ "contains", map_contains },
	{ NULL, NULL },
};

void lbpf_mapops_open(lua_State *L)
{
	lua_getfield(L, -1, "map");
	luaL_setfuncs(L, map_functions, 0);
	lua_pop(L, 1);
}
