/* SPDX-License-Identifier: MIT */
/* Adding feeds and sources to a reader. A feed says how a script wants the records of a map. Declared by reader.h. */
#include "event/reader.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include <lauxlib.h>

#include "map/map.h"

/* Pushes the table of option `into`, or nil. */
static bool push_into(lua_State *L, int idx, const struct lbpf_type *type, const struct lbpf_reader_options *options)
{
	if (lua_isnoneornil(L, idx)) {
		lua_pushnil(L);
		return false;
	}
	if (lua_getfield(L, idx, "into") == LUA_TNIL)
		return false;
	luaL_argcheck(L, lua_istable(L, -1) && type->node[0].kind >= LBPF_ARRAY && !options->unpack, idx,
		      "'into' takes a table, for structs and arrays, and not together with 'unpack'");
	return true;
}

/* Pushes the function of option `lost`, or nil. */
static void push_lost(lua_State *L, int idx)
{
	if (lua_isnoneornil(L, idx)) {
		lua_pushnil(L);
		return;
	}
	lua_getfield(L, idx, "lost");
	luaL_argcheck(L, lua_isnil(L, -1) || lua_isfunction(L, -1), idx, "'lost' takes a function");
}

struct lbpf_feed lbpf_reader_feed(lua_State *L, int idx, int first, const struct lbpf_reader_options *options)
{
	struct lbpf_reader *r = lua_touserdata(L, idx);
	struct lbpf_feed feed = { .unpack = options->unpack };
	int refs = lua_gettop(L) + 1;

	luaL_checkstack(L, 8, NULL);
	lua_getiuservalue(L, idx, LBPF_READER_REFS);
	feed.type = lbpf_map_push_spec(L, first, first + 1, "event");
	feed.into = push_into(L, first + 3, feed.type, options);
	push_lost(L, first + 3);
	/* Reserves the number: finalizers may add feeds from here on. */
	feed.refs = r->feeds++ * LBPF_REFS;
	lua_rawseti(L, refs, feed.refs + LBPF_REF_LOST);
	lua_rawseti(L, refs, feed.refs + LBPF_REF_INTO);
	lua_rawseti(L, refs, feed.refs + LBPF_REF_TYPE);
	lua_pushvalue(L, first + 2);
	lua_rawseti(L, refs, feed.refs + LBPF_REF_HANDLER);
	lua_settop(L, refs - 1);
	return feed;
}

void lbpf_reader_unfeed(lua_State *L, int idx, const struct lbpf_feed *feed)
{
	lua_getiuservalue(L, idx, LBPF_READER_REFS);
	for (int i = 1; i <= LBPF_REFS; i++) {
		lua_pushnil(L);
		lua_rawseti(L, -2, feed->refs + i);
	}
	lua_pop(L, 1);
}

void lbpf_reader_reserve(lua_State *L, int idx, struct lbpf_reader *r, uint32_t more)
{
	while (r->room - r->count < more) { /* allocating may run a finalizer that adds sources */
		uint32_t room = r->count + more > 2 * r->count ? r->count + more : 2 * r->count;
		void *memory = lua_newuserdatauv(L, room * r->kind->source_size, 0);

		if (r->count <= room) {
			if (r->count)
				memcpy(memory, r->source, r->count * r->kind->source_size);
			lua_pushvalue(L, -1);
			lua_setiuservalue(L, idx, LBPF_READER_SOURCES);
			r->source = memory;
			r->room = room;
		}
		lua_pop(L, 1);
	}
}

int lbpf_reader_add(struct lbpf_reader *r)
{
	struct lbpf_source *s = lbpf_reader_source(r, r->count);
	struct epoll_event event = { .events = EPOLLIN };

	if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, s->fd, &event))
		return errno;
	r->count++;
	return 0;
}
