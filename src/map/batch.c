/* SPDX-License-Identifier: MIT */
/* Operations on many entries at once: in batches if the kernel has them for the map, otherwise one by one. */
#include "map/batch.h"

#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "base/arg.h"
#include "base/class.h"
#include "base/err.h"
#include "map/map.h"
#include "map/ops.h"
#include "map/room.h"
#include "map/walk.h"

static const struct lbpf_name lock_flag[] = { { "lock", BPF_F_LOCK }, { NULL, 0 } };

/* ---- looking up ---- */

/* If decoding a value of the map opens a descriptor, makes sure that one can be opened. Returns 0 or an errno. */
static int decode_room(lua_State *L, const struct lbpf_map *map)
{
	return map->kind->value && map->kind->value->fetch ? lbpf_spare(L, LBPF_MAP_DESCRIPTORS) : 0;
}

/*** Returns up to `count` entries of a map, and a cursor for the next ones. To iterate over a map in pieces, pass the
cursor to the next call. Entries are read in batches where the kernel has batches, so a value is as old as its batch.
The guarantees are those of `pairs`. A cursor needs no closing.
@function bpf.map.lookup_batch
@tparam bpf.map m
@param ?cursor what the previous call returned; nil begins
@tparam ?integer count the largest number of entries to return; 256 by default
@tparam ?string|table flags "lock" reads each value under its bpf_spin_lock
@treturn table sequence of keys
@treturn table sequence of their values
@return the cursor for the next call, or nil after the last entry. A piece of `count` entries always has a cursor: if no
 entry follows, the next call returns two empty tables and nil
@treturn nil,string,string on failure
@usage
local keys, values, cursor
repeat -- prints three entries, in pieces of two
  keys, values, cursor = map.lookup_batch(m, cursor, 2)
  for i, key in ipairs(keys) do print(key, values[i]) end
until not cursor
@see bpf_map_lookup_batch */
static int map_lookup_batch(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, LBPF_LOOKUP | LBPF_WALK, "lookup_batch");
	lua_Integer count = lua_isnoneornil(L, 3) ? LBPF_BATCH_ENTRIES : lbpf_arg_int(L, 3, 1, INT32_MAX), n = 0;
	uint64_t flags = lbpf_arg_flags(L, 4, lock_flag, NULL);
	int err = 0;

	lua_settop(L, 2);
	if (lua_isnil(L, 2)) {
		lua_settop(L, 1);
		lbpf_walk_push(L, 1, flags);
	} else {
		lbpf_walk_check(L, 2, map);
	}
	lua_newtable(L);
	lua_newtable(L);
	while (n < count) {
		err = decode_room(L, map);
		if (err || !lbpf_walk_next(L, 2, &err))
			break;
		n++;
		lua_rawseti(L, 4, n);
		lua_rawseti(L, 3, n);
	}
	/* Short of descriptors: the call returns what it has, and the next call continues here or returns the failure.
	 */
	if (err && !(n && lbpf_spare_is_short(err)))
		return lbpf_map_fail_because(L, map, err, lbpf_map_invalid(map, err, flags), "lookup_batch");
	if (n == count || err)
		lua_pushvalue(L, 2);
	else
		lua_pushnil(L);
	return 3;
}

/* ---- storing and deleting many ---- */

/* An update or deletion of many entries: where the keys and values come from, and the batch that collects them for one
 * system call. */
struct bulk {
	struct lbpf_map *map;
	const char *operation;
	uint64_t flags;
	bool deleting;
	bool listed; /* the source is a sequence: its values are the keys to delete */
	/* One system call per entry: the kernel has no such batches for the map, or not with these flags */
	bool singly;
	/* Stack index of a table; or of an iterator, which is followed by its state and control variable */
	int source;
	uint32_t room, count; /* entries of the batch: how many fit, how many there are */
	uint8_t *keys, *values;
	lua_Integer done;
	/* Set while the value of an entry is encoded, to tell its errors from those of the key */
	bool valued;
};

static uint8_t *bulk_key(const struct bulk *b, uint32_t i)
{
	return b->keys + (size_t)i * b->map->key_size;
}

static uint8_t *bulk_value(const struct bulk *b, uint32_t i)
{
	return b->values + (size_t)i * lbpf_map_bytes(b->map);
}

/* Makes room for a batch of so many entries, kept by a user value of the value at stack index holder. */
static void bulk_set_room(lua_State *L, int holder, struct bulk *b, uint32_t room)
{
	size_t keys = ((size_t)room * b->map->key_size + 7) / 8 * 8;

	b->keys = lua_newuserdatauv(L, keys + (b->deleting ? 0 : (size_t)room * lbpf_map_bytes(b->map)), 0);
	b->values = b->keys + keys;
	b->room = room;
	lua_setiuservalue(L, holder, 1);
}

/* Pushes the userdata that keeps the batch. Entries that are given by descriptors go to the kernel one by one, while
 * the descriptors are open. */
static void bulk_push_holder(lua_State *L, struct bulk *b)
{
	b->singly = b->singly || b->map->kind->can & LBPF_HANDLES;
	/* User values: the batch; the last key, if keys can't be decoded from their bytes */
	lua_newuserdatauv(L, 0, 2);
	bulk_set_room(L, lua_gettop(L), b, b->singly ? 1 : lbpf_room_first(b->map));
}

/* Whether an error only means that the flags or an absent key exclude this entry, which is then skipped. */
static bool bulk_may_skip(const struct bulk *b, int err)
{
	if (b->deleting)
		return err == ENOENT;
	return (err == EEXIST && b->flags & BPF_NOEXIST) || (err == ENOENT && b->flags & BPF_EXIST);
}

/* One system call for all entries from `at` on. *n becomes the number of entries that the kernel has processed. */
static int bulk_call_batch(const struct bulk *b, uint32_t at, uint32_t *n)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts, .elem_flags = b->flags);
	uint32_t asked = *n;
	int err;

	if (b->deleting)
		err = bpf_map_delete_batch(b->map->fd, bulk_key(b, at), n, &opts) ? errno : 0;
	else
		err = bpf_map_update_batch(b->map->fd, bulk_key(b, at), bulk_value(b, at), n, &opts) ? errno : 0;
	if (err && *n == asked) /* refused as a whole: then the kernel leaves the count as it was */
		*n = 0;
	return err;
}

static int bulk_call_one(const struct bulk *b, uint32_t at, uint32_t *n)
{
	int err;

	if (b->deleting)
		err = lbpf_map_erase(b->map, bulk_key(b, at));
	else
		err = bpf_map_update_elem(b->map->fd, bulk_key(b, at), bulk_value(b, at), b->flags) ? errno : 0;
	*n = err ? 0 : 1;
	return err;
}

enum { COLLECT_BULK = 1, COLLECT_SOURCE, COLLECT_HOLDER = 5 };

/* Whether keys, such as paths or sockets, can't be decoded from their bytes. Such entries go to the kernel one by
 * one. */
static bool is_oneway(const struct bulk *b)
{
	return b->map->kind->key && !b->map->kind->key->decode;
}

/* Pushes the key at position `at`. */
static void bulk_push_key(lua_State *L, const struct bulk *b, int holder, uint32_t at)
{
	if (is_oneway(b))
		lua_getiuservalue(L, holder, 2);
	else
		lbpf_map_decode_key(L, b->map, bulk_key(b, at));
}

/* Pushes what bulk operations return on failure, with the key at position `at`. */
static int bulk_fail(lua_State *L, const struct bulk *b, uint32_t at, int err, const char *cause)
{
	int n;

	luaL_checkstack(L, 12, NULL);
	lbpf_map_fail_because(L, b->map, err, cause ? cause : lbpf_map_invalid(b->map, err, b->flags), b->operation);
	lua_pushinteger(L, b->done);
	n = lua_gettop(L);
	bulk_push_key(L, b, COLLECT_HOLDER, at);
	lua_pushfstring(L, "%s (after %I entries, at key %s)", lua_tostring(L, n - 2), (LUAI_UACINT)b->done,
			luaL_tolstring(L, -1, NULL));
	lua_replace(L, n - 2);
	lua_settop(L, n + 1);
	return 5;
}

/* Sends the batch to the kernel. Returns 0, or the number of values that were pushed for a failure. */
static int bulk_flush(lua_State *L, struct bulk *b)
{
	uint32_t at = 0;

	if (b->map->fd < 0) /* the iterator may have closed the map */
		lbpf_map_unusable(L, b->map);
	while (at < b->count) {
		uint32_t n = b->count - at;
		int err = b->singly ? bulk_call_one(b, at, &n) : bulk_call_batch(b, at, &n);

		at += n;
		b->done += n;
		if (!err)
			continue;
		if (bulk_may_skip(b, err))
			at++;
		else if (!b->singly && n == 0 && (err == EINVAL || err == ENOTSUPP))
			b->singly = true;
		else
			return bulk_fail(L, b, at, err, NULL);
	}
	b->count = 0;
	return 0;
}

/* Adds the entry whose key is at stack index k, and its value at k + 1, to the batch. Sends the batch if it is full. */
static int bulk_add(lua_State *L, struct bulk *b, int k)
{
	int err, top = lua_gettop(L);

	if (is_oneway(b)) {
		lua_pushvalue(L, k);
		lua_setiuservalue(L, COLLECT_HOLDER, 2);
	}
	err = lbpf_map_encode_key(L, b->map, k, bulk_key(b, b->count));
	if (!err && !b->deleting) {
		b->valued = true;
		err = lbpf_map_encode_value(L, b->map, k + 1, bulk_value(b, b->count));
		b->valued = false;
	}
	if (bulk_may_skip(b, err)) {
		lua_settop(L, top);
		return 0;
	}
	if (err)
		return bulk_fail(L, b, b->count, err, lua_tostring(L, -1));
	if (++b->count < b->room)
		return 0;
	err = bulk_flush(L, b);
	if (err)
		return err;
	lua_settop(L, top); /* closes descriptors that the encoding has opened */
	if (!b->singly && b->room < lbpf_room_next(b->map, b->room))
		bulk_set_room(L, COLLECT_HOLDER, b, lbpf_room_next(b->map, b->room));
	return 0;
}

static int bulk_from_table(lua_State *L, struct bulk *b)
{
	int top = lua_gettop(L), n;

	for (lua_pushnil(L); lua_next(L, b->source); lua_settop(L, top + 1)) {
		n = bulk_add(L, b, b->listed ? top + 2 : top + 1);
		if (n)
			return n;
	}
	return bulk_flush(L, b);
}

static int bulk_from_iterator(lua_State *L, struct bulk *b)
{
	int top = lua_gettop(L), n;

	for (;; lua_settop(L, top)) {
		lua_pushvalue(L, b->source);
		lua_pushvalue(L, b->source + 1);
		lua_pushvalue(L, b->source + 2);
		lua_call(L, 2, 2);
		if (lua_isnil(L, -2))
			return bulk_flush(L, b);
		lua_pushvalue(L, -2);
		lua_replace(L, b->source + 2);
		n = bulk_add(L, b, top + 1);
		if (n)
			return n;
	}
}

/* Replaces an object with __pairs, such as a map, by its iterator. */
static void bulk_open_source(lua_State *L, struct bulk *b)
{
	if (luaL_getmetafield(L, b->source, "__pairs") == LUA_TNIL)
		return;
	lua_pushvalue(L, b->source);
	lbpf_call(L, 1, 4);
	for (int i = 3; i >= 0; i--)
		lua_replace(L, b->source + i);
}

/* Runs the operation; its arguments are at the indices of the enum. Returns the number of values that were pushed for a
 * failure, or 0. */
static int bulk_collect(lua_State *L)
{
	struct bulk *b = lua_touserdata(L, COLLECT_BULK);

	return lua_istable(L, COLLECT_SOURCE) ? bulk_from_table(L, b) : bulk_from_iterator(L, b);
}

/* Calls bulk_collect. If encoding a value raises an error, the message gets the entry's key. */
static int bulk_collect_placed(lua_State *L, struct bulk *b)
{
	int top = lua_gettop(L); /* the holder */

	lua_pushcfunction(L, bulk_collect);
	lua_pushlightuserdata(L, b);
	for (int i = 0; i < 3; i++)
		lua_pushvalue(L, b->source + i);
	lua_pushvalue(L, top);
	if (lbpf_pcall(L, 5, LUA_MULTRET) == LUA_OK)
		return lua_gettop(L) - top;
	if (b->valued && lua_type(L, -1) == LUA_TSTRING) {
		bulk_push_key(L, b, top, b->count);
		lua_pushfstring(L, "%s (at key %s)", lua_tostring(L, top + 1), luaL_tolstring(L, -1, NULL));
	}
	return lua_error(L);
}

/* Runs the operation for the source at index 2; the flags follow it. */
static int bulk_run(lua_State *L, struct bulk *b)
{
	bool iterator = lua_isfunction(L, 2), closing;
	int n;

	luaL_argexpected(L, iterator || lua_istable(L, 2) || lua_isuserdata(L, 2), 2, "table or iterator");
	b->source = 2;
	lua_settop(L, 6);
	closing = iterator && lua_isuserdata(L, 5); /* the fourth value of an iterator, as `for` closes it */
	if (!b->deleting)
		b->flags = lbpf_arg_flags(L, !iterator ? 3 : closing ? 6 : 5, lbpf_update_flags, NULL);
	b->singly = b->flags & (BPF_NOEXIST | BPF_EXIST);
	if (!iterator) {
		lua_pushnil(L);
		lua_replace(L, 5);
		bulk_open_source(L, b);
	}
	if (closing || (!iterator && lua_isuserdata(L, 5)))
		lua_toclose(L, 5);
	luaL_argexpected(L, lua_istable(L, 2) || lua_isfunction(L, 2), 2, "table or iterator");
	b->listed = b->deleting && lua_istable(L, 2);
	bulk_push_holder(L, b);
	n = bulk_collect_placed(L, b);
	if (n)
		return n;
	lua_pushinteger(L, b->done);
	return 1;
}

/*** Stores many entries and returns their number. Existing entries are replaced. One system call stores up to 256
entries; where the kernel has no batches, and with the flags "noexist" and "exist", it stores one entry. Only one batch
is in memory at a time, so an iterator may return any number of entries. A failure does not undo what was stored before.
@function bpf.map.update_batch
@tparam bpf.map m
@tparam table|function|bpf.map source a table or a map whose entries are stored; or an iterator with its state and
 control variable, as `for` takes it: `map.update_batch(m, pairs(t))`
@param ?flags_or_state after a table or map the flags: "any" (the default), "lock", "noexist" or "exist"; entries that
 "noexist" or "exist" refuses are skipped. After an iterator function its state
@param ?control after an iterator function its control variable
@tparam ?string|table flags after an iterator function the flags; or the value that `for` closes, followed by the flags.
 So `map.update_batch(to, map.drain(from))` moves entries; a failure loses those of one batch at most
@treturn integer the number of entries stored
@return on failure `nil, message, code, done, key`: done is the number of entries stored before it, key the key that
 failed
@usage
assert(map.update_batch(m, { [4] = 40, [5] = 50 }) == 2)
assert(map.update_batch(m, { [5] = 0, [6] = 60 }, "noexist") == 1)  -- skips 5
assert(map.update_batch(m, ipairs { 11, 22 }) == 2)                 -- replaces 1 and 2
@see bpf_map_update_batch */
static int map_update_batch(lua_State *L)
{
	struct bulk b = { .operation = "update_batch" };

	b.map = lbpf_map_check(L, 1, LBPF_UPDATE, "update_batch");
	return bulk_run(L, &b);
}

/*** Deletes many entries and returns their number. Keys that are not in the map are skipped. One system call deletes up
to 256 entries where the kernel has batches, else one entry. A failure does not undo what was deleted before.
@function bpf.map.delete_batch
@tparam bpf.map m
@tparam table|function|bpf.map keys a sequence of keys; a map whose keys are deleted; or an iterator with its state and
 control variable, whose first values are the keys: `map.delete_batch(m, map.keys(other))`
@param ?state after an iterator function its state
@param ?control after an iterator function its control variable
@treturn integer the number of entries deleted
@return on failure `nil, message, code, done, key`: done is the number of entries deleted before it, key the key that
 failed
@usage
assert(map.delete_batch(m, { 1, 2, 99 }) == 2)  -- 99 isn't there
@see bpf_map_delete_batch */
static int map_delete_batch(lua_State *L)
{
	struct bulk b = { .operation = "delete_batch", .deleting = true };

	b.map = lbpf_map_check(L, 1, LBPF_DELETE, "delete_batch");
	return bulk_run(L, &b);
}

static const luaL_Reg map_functions[] = {
	{ "lookup_batch", map_lookup_batch },
	{ "update_batch", map_update_batch },
	{ "delete_batch", map_delete_batch },
	{ NULL, NULL },
};

void lbpf_batch_open(lua_State *L)
{
	lua_getfield(L, -1, "map");
	luaL_setfuncs(L, map_functions, 0);
	lua_pop(L, 1);
}
