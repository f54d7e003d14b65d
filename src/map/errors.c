/* SPDX-License-Identifier: MIT */
/* Error messages about maps: why a map can't be used, which operations its kind lacks, what an errno means for an
 * operation. Declared by map.h. */
#include <errno.h>
#include <string.h>

#include <linux/bpf.h>

#include "base/err.h"
#include "map/map.h"

const char *lbpf_map_label(const struct lbpf_map *map)
{
	return *map->name ? map->name : map->kind ? map->kind->name : "?";
}

_Noreturn void lbpf_map_unusable(lua_State *L, const struct lbpf_map *map)
{
	if (map->of && !bpf_map__autocreate(map->of))
		luaL_error(L, "map '%s' is not created, option 'maps' has false for it", lbpf_map_label(map));
	if (map->of)
		luaL_error(L, "map '%s' does not exist before its object is loaded", lbpf_map_label(map));
	luaL_error(L, "map '%s' is closed", lbpf_map_label(map));
	__builtin_unreachable();
}

static const struct {
	uint32_t can;
	const char *names;
} operations[] = {
	{ LBPF_LOOKUP, "lookup" },	    { LBPF_UPDATE, "update" },	      { LBPF_DELETE, "delete" },
	{ LBPF_TAKE, "lookup_and_delete" }, { LBPF_WALK, "next_key, pairs" }, { LBPF_PUSH, "push" },
	{ LBPF_POP, "pop, peek" },	    { LBPF_CONTAINS, "contains" },    { LBPF_VIEW, "view" },
};

_Noreturn void lbpf_map_cannot(lua_State *L, const struct lbpf_map *map, const char *operation)
{
	luaL_Buffer b;

	if (map->column)
		luaL_error(L, "map '%s': %s: a column can only be read; write to the map itself", lbpf_map_label(map),
			   operation);
	luaL_buffinit(L, &b);
	for (size_t i = 0; i < sizeof(operations) / sizeof(*operations); i++)
		if (map->kind->can & operations[i].can && (operations[i].can != LBPF_VIEW || lbpf_map_has_memory(map)))
			lbpf_list_add(&b, operations[i].names);
	luaL_pushresult(&b);
	luaL_error(L, "map '%s': maps of type %s have no %s (they have: %s)", lbpf_map_label(map), map->kind->name,
		   operation, *lua_tostring(L, -1) ? lua_tostring(L, -1) : "none on entries");
	__builtin_unreachable();
}

/* What an errno means for an operation, where that is more than its own text. */
static const struct {
	const char *operation; /* what its name begins with; NULL: any */
	uint32_t can;	       /* only for kinds with all of these; 0: any */
	int err;
	const char *text; /* %I is max_entries */
} causes[] = {
	{ "update", LBPF_INDEXED, E2BIG, "no such slot, the last one is %I" },
	{ NULL, LBPF_STORAGE, EBADF, "the key is no open file descriptor of the right kind" },
	{ "update", LBPF_HANDLES, EBADF, "the value is no open file descriptor of the right kind" },
	{ "view", LBPF_VIEW, EEXIST, "something else is at its address here, perhaps another handle's view" },
	{ "view", LBPF_VIEW, EFAULT, "a fork doesn't pass an arena on; bpf.map.view maps it in this process" },
	{ "view", LBPF_VIEW, EINVAL, "perhaps it is mapped already, by another handle or process, at another address" },
	{ "update", LBPF_HANDLES, ENODEV, "there is no such interface or CPU" },
	{ "update", LBPF_HANDLES, EOVERFLOW, "the queue is too long" },
	{ "update", LBPF_HANDLES, EBUSY, "it is in use here or in another such map" },
	{ "update", LBPF_HANDLES, EINVAL, "the kernel does not accept this value here; perhaps it is of another type" },
	{ "lookup", LBPF_HANDLES, ENOSPC, "only values of 8 bytes can be read, which hold a socket's cookie" },
	{ "walk", LBPF_HANDLES, ENOSPC, "only values of 8 bytes can be read, which hold a socket's cookie" },
	{ "walk", 0, EAGAIN, "keys come in faster than they are walked" },
	{ "lookup_batch", 0, EAGAIN, "keys come in faster than they are walked" },
	{ "update", 0, E2BIG, "full, all %I entries in use" },
	{ "update", 0, ENOSPC, "full, all %I entries in use" },
	{ "push", 0, E2BIG, "full, all %I entries in use" },
	{ "update", 0, ENOMEM, "the kernel found no memory for one more entry" },
	{ "update", 0, EEXIST, "the key exists" },
	{ NULL, 0, ENOENT, "no such key" },
	{ NULL, 0, EPERM,
	  "refused; the map may be frozen or opened read-only or write-only, or CAP_BPF may be missing" },
	{ NULL, 0, ENOTSUPP, "this kernel has no such operation for the map's type" },
};

static const char *map_push_cause(lua_State *L, const struct lbpf_map *map, int err, const char *operation)
{
	for (size_t i = 0; i < sizeof(causes) / sizeof(*causes); i++) {
		uint32_t last = map->max_entries - (map->kind->can & LBPF_INDEXED ? 1 : 0);

		if (causes[i].err != err ||
		    (causes[i].operation &&
		     strncmp(causes[i].operation, operation, strlen(causes[i].operation)) != 0) ||
		    (map->kind->can & causes[i].can) != causes[i].can)
			continue;
		return lua_pushfstring(L, causes[i].text, (LUAI_UACINT)last);
	}
	return NULL;
}

const char *lbpf_map_invalid(const struct lbpf_map *map, int err, uint64_t flags)
{
	if (err != EINVAL)
		return NULL;
	if (flags & BPF_F_LOCK && !(map->value && map->value->owned))
		return "flag 'lock': the value has no bpf_spin_lock";
	if (flags && map->kind->can & LBPF_INDEXED && map->kind->can & LBPF_HANDLES)
		return "flags: such a slot can only be set, without a flag";
	if (map->kind->key == &lbpf_conv_prefix)
		return "the prefix is longer than the data of the map's keys";
	return NULL;
}

int lbpf_map_fail_because(lua_State *L, const struct lbpf_map *map, int err, const char *cause, const char *operation)
{
	luaL_checkstack(L, 8, NULL);
	if (!cause)
		cause = map_push_cause(L, map, err < 0 ? -err : err, operation);
	return lbpf_err_push(L, err, cause, "map '%s': %s", lbpf_map_label(map), operation);
}

_Noreturn void lbpf_map_raise_because(lua_State *L, const struct lbpf_map *map, int err, const char *cause,
				      const char *operation)
{
	luaL_checkstack(L, 8, NULL);
	if (!cause)
		cause = map_push_cause(L, map, err < 0 ? -err : err, operation);
	lbpf_err_raise(L, err, cause, "map '%s': %s", lbpf_map_label(map), operation);
}

int lbpf_map_fail(lua_State *L, const struct lbpf_map *map, int err, const char *operation)
{
	return lbpf_map_fail_because(L, map, err, NULL, operation);
}

_Noreturn void lbpf_map_raise(lua_State *L, const struct lbpf_map *map, int err, const char *operation)
{
	lbpf_map_raise_because(L, map, err, NULL, operation);
}
