/* SPDX-License-Identifier: MIT */
/* Maps as values of maps. They are stored by descriptor and read as ids, from which new handles are opened. */
#include <errno.h>
#include <string.h>

#include <lauxlib.h>

#include "base/cause.h"
#include "map/conv.h"
#include "map/map.h"
#include "map/open.h"

static int inner_encode(lua_State *L, const struct lbpf_map *map, int idx, void *buf)
{
	struct lbpf_map *inner = lbpf_class_test(L, idx, &lbpf_map_class);

	(void)map;
	if (!inner)
		return luaL_error(L, "value: a map expected, got %s", luaL_typename(L, idx));
	if (inner->fd < 0)
		lbpf_map_unusable(L, inner);
	lbpf_store_int(sizeof(inner->fd), buf, inner->fd);
	return 0;
}

static int inner_fetch(lua_State *L, const struct lbpf_map *map, const void *buf)
{
	int err = lbpf_map_push_id(L, (uint32_t)lbpf_load_int(LBPF_U32, buf));

	(void)map;
	if (err == EPERM)
		lbpf_refused(L, "CAP_SYS_ADMIN");
	else if (err)
		lua_pushnil(L);
	return err == ENOENT ? 0 : err; /* the map has been replaced since, and no longer exists */
}

static void inner_decode(lua_State *L, const struct lbpf_map *map, const void *buf, int into)
{
	int err = inner_fetch(L, map, buf);

	(void)into;
	if (err)
		lbpf_map_raise_because(L, map, err, lua_tostring(L, -1), "opening the inner map");
}

const struct lbpf_conv lbpf_conv_inner = { inner_encode, inner_decode, inner_fetch };
