/* SPDX-License-Identifier: MIT */
/* What a new map is to be like: another map, or the template of a map of maps.
 *
 * The kernel doesn't tell what the inner maps of a map of maps have to be like. So the outer map's handle keeps a
 * template: the inner map that it was created with, or a closed handle that is made of the object's declaration. A
 * handle without a template, as of a map that was opened, is asked for the first map in it. */
#include "map/like.h"

#include <errno.h>
#include <fcntl.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>

#include "base/cause.h"
#include "base/err.h"
#include "map/map.h"
#include "map/open.h"

/* A template that an object declares. */
struct template
{
	struct lbpf_map map;
	uint32_t key_id, value_id; /* in the object's BTF; 0: none */
};

static bool is_declared(const struct lbpf_map *map)
{
	return map->template;
}

void lbpf_like_declare(lua_State *L)
{
	struct lbpf_map *outer = lua_touserdata(L, -1);
	const struct bpf_map *of = outer->of ? bpf_map__inner_map(outer->of) : NULL;
	struct template *t;

	if (!of)
		return;
	t = lbpf_class_new(L, &lbpf_map_class, sizeof(*t), LBPF_MAP_SLOTS);
	lua_pushvalue(L, -2);
	lua_setiuservalue(L, -2, LBPF_MAP_OWNER); /* whose BTF the types are of */
	t->map.template = true;
	t->map.type = (uint32_t)bpf_map__type(of);
	t->map.key_size = bpf_map__key_size(of);
	t->map.value_size = bpf_map__value_size(of);
	t->map.max_entries = bpf_map__max_entries(of);
	t->map.flags = bpf_map__map_flags(of);
	t->map.extra = bpf_map__map_extra(of);
	t->key_id = bpf_map__btf_key_type_id(of);
	t->value_id = bpf_map__btf_value_type_id(of);
	lbpf_map_set_name(&t->map, outer->name);
	if (lbpf_map_set_kind(L, &t->map, lbpf_mapkind_of(t->map.type)))
		luaL_error(L, "map '%s': the number of possible CPUs can't be read", outer->name);
	lbpf_map_set_types(L, &t->map, outer->btf, t->key_id, t->value_id);
	lua_setiuservalue(L, -2, LBPF_MAP_INNER);
}

/* Stores the id of the first map in a map of maps. Returns 0 or an errno; ENOENT if it is empty. */
static int first_id(lua_State *L, const struct lbpf_map *outer, uint32_t *id)
{
	void *last = NULL;

	LBPF_SCRATCH(L, key, outer->key_size);
	LBPF_SCRATCH(L, next, outer->key_size);
	for (uint32_t n = 0; n < outer->max_entries; n++) {
		if (bpf_map_get_next_key(outer->fd, last, next))
			return errno;
		memcpy(key, next, outer->key_size);
		last = key;
		if (bpf_map_lookup_elem(outer->fd, key, id) == 0)
			return 0;
		if (errno != ENOENT)
			return errno;
	}
	return ENOENT;
}

/* Pushes the first map in the map of maps and returns 0, or returns an errno. */
static int push_first(lua_State *L, const struct lbpf_map *outer)
{
	int top = lua_gettop(L), err;
	uint32_t id = 0;

	if (outer->fd < 0)
		return ENOENT;
	err = first_id(L, outer, &id);
	lua_settop(L, top);
	return err ? err : lbpf_map_push_id(L, id);
}

int lbpf_like_push(lua_State *L, int idx, struct lbpf_like *like)
{
	struct lbpf_map *given = lbpf_class_test(L, idx, &lbpf_map_class);
	int err;

	if (!given)
		luaL_error(L, "map.create: option 'like' must be a map, got %s", luaL_typename(L, idx));
	if (given->fd < 0 && !given->of)
		lbpf_map_unusable(L, given);
	if (given->column)
		luaL_error(L, "map.create: option 'like' must be the map itself, not a column");
	*like = (struct lbpf_like){ .map = given };
	if (given->kind->value != &lbpf_conv_inner) {
		lua_pushvalue(L, idx);
		return 0;
	}
	*like = (struct lbpf_like){ .outer = given };
	if (lua_getiuservalue(L, idx, LBPF_MAP_INNER) == LUA_TTABLE)
		return 0;
	like->map = lbpf_class_test(L, -1, &lbpf_map_class);
	if (like->map && (like->map->fd >= 0 || is_declared(like->map)))
		return 0;
	err = push_first(L, given);
	if (err && !like->map)
		return lbpf_err_push(L, err,
				     err == ENOENT ? "it is empty, and only the handle that created it knows more"
					     : err == EPERM ? lbpf_refused(L, "CAP_SYS_ADMIN")
							    : NULL,
				     "map.create: what the maps in '%s' are like", lbpf_map_label(given));
	if (!err)
		like->map = lua_touserdata(L, -1);
	return 0;
}

int lbpf_like_btf(const struct lbpf_like *like, uint32_t *key_id, uint32_t *value_id)
{
	const struct btf *btf = like->map->btf;
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);

	if (is_declared(like->map)) {
		const struct template *t = (const struct template *)like->map;

		*key_id = t->key_id;
		*value_id = t->value_id;
		btf = like->outer->btf;
	} else if (like->map->fd < 0 || bpf_obj_get_info_by_fd(like->map->fd, &info, &len)) {
		return -1;
	} else {
		*key_id = info.btf_key_type_id;
		*value_id = info.btf_value_type_id;
	}
	if (!*value_id)
		return -1;
	if (btf && btf__fd(btf) >= 0)
		return fcntl(btf__fd(btf), F_DUPFD_CLOEXEC, 0);
	return info.btf_id ? bpf_btf_get_fd_by_id(info.btf_id) : -1;
}
