/* SPDX-License-Identifier: MIT */
/* Links: a program's attachment.
 *
 * The owner keeps its open links in a set, so a dropped return value never detaches anything, and closes them before
 * it goes: libbpf's USDT links use their object when they are destroyed. */
#include "link.h"

#include <errno.h>

#include <bpf/libbpf.h>

#include "err.h"

enum { LINK_OWNER = 1 };

void lbpf_link_drop(lua_State *L, int idx)
{
	int top = lua_gettop(L);

	idx = lua_absindex(L, idx);
	if (lua_getiuservalue(L, idx, LINK_OWNER) == LUA_TUSERDATA &&
	    lua_getiuservalue(L, -1, LBPF_OWNER_LINKS) == LUA_TTABLE) {
		lua_pushvalue(L, idx);
		lua_pushnil(L);
		lua_rawset(L, -3);
	}
	lua_settop(L, top);
}

static void link_release(lua_State *L, int idx, void *self)
{
	struct lbpf_link *handle = self;
	struct bpf_link *link = handle->link;
	struct lbpf_log *log;

	handle->link = NULL;
	if (!link)
		return;
	log = lbpf_log_begin(L);
	bpf_link__destroy(link);
	lbpf_log_end(log);
	lbpf_link_drop(L, idx);
}

static const struct lbpf_class link_class;

struct lbpf_link *lbpf_link_push(lua_State *L, int owner, const char *kind)
{
	struct lbpf_link *handle;

	owner = lua_absindex(L, owner);
	luaL_checkstack(L, 6, NULL);
	handle = lbpf_class_new(L, &link_class, sizeof(*handle), 1);
	handle->kind = kind;
	lua_pushvalue(L, owner);
	lua_setiuservalue(L, -2, LINK_OWNER);
	lua_getiuservalue(L, owner, LBPF_OWNER_LINKS);
	lua_pushvalue(L, -2);
	lua_pushboolean(L, 1);
	lua_rawset(L, -3);
	lua_pop(L, 1);
	return handle;
}

void lbpf_link_close(lua_State *L, int idx)
{
	link_release(L, idx, lua_touserdata(L, idx));
}

void lbpf_link_close_all(lua_State *L, int owner)
{
	int top = lua_gettop(L);

	if (lua_getiuservalue(L, owner, LBPF_OWNER_LINKS) == LUA_TTABLE)
		for (lua_pushnil(L); lua_next(L, top + 1); lua_pop(L, 1)) /* closing clears the field it stands at */
			link_release(L, -2, lua_touserdata(L, -2));
	lua_settop(L, top);
}

/*** Detaches the program and frees the link; doing so twice is fine.
@function link:close
@function link:detach
@treturn true
@see bpf_link__destroy */
static int link_close(lua_State *L)
{
	return lbpf_class_close(L, &link_class);
}

/*** The link's file descriptor, or nil for an attachment that has none.
@function link:fd
@treturn ?integer
@see bpf_link__fd */
static int link_fd(lua_State *L)
{
	struct lbpf_link *handle = lbpf_class_check(L, 1, &link_class);
	int fd;

	if (!handle->link)
		luaL_error(L, "link is closed");
	fd = bpf_link__fd(handle->link);
	if (fd < 0)
		lua_pushnil(L);
	else
		lua_pushinteger(L, fd);
	return 1;
}

static int link_tostring(lua_State *L)
{
	struct lbpf_link *handle = lbpf_class_check(L, 1, &link_class);

	if (handle->link)
		lua_pushfstring(L, "bpf.link: %s (fd %d)", handle->kind, bpf_link__fd(handle->link));
	else
		lua_pushfstring(L, "bpf.link: %s (closed)", handle->kind);
	return 1;
}

static const luaL_Reg link_methods[] = {
	{ "close", link_close },
	{ "detach", link_close },
	{ "fd", link_fd },
	{ NULL, NULL },
};

static const luaL_Reg link_meta[] = {
	{ "__tostring", link_tostring },
	{ NULL, NULL },
};

static const struct lbpf_class link_class = {
	.name = "bpf.link",
	.methods = link_methods,
	.meta = link_meta,
	.release = link_release,
};

void lbpf_link_open(lua_State *L)
{
	lbpf_class_register(L, &link_class);
}
