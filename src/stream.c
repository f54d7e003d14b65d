/* SPDX-License-Identifier: MIT */
/* Streams: text and records from a file descriptor, which iterator programs and the kernel's trace pipe write to. */
#include "stream.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>

#include "codec.h"
#include "err.h"
#include "wait.h"

#define CHUNK 4096

enum { STREAM_BUFFER = 1, STREAM_TYPE };

static void stream_init(void *self)
{
	((struct lbpf_stream *)self)->fd = -1;
}

static void stream_release(lua_State *L, int idx, void *self)
{
	struct lbpf_stream *s = self;
	int fd = s->fd;

	(void)L;
	(void)idx;
	s->fd = -1;
	if (fd >= 0)
		close(fd);
}

static const struct lbpf_class stream_class = {
	.name = "bpf.stream",
	.init = stream_init,
	.release = stream_release,
};

struct lbpf_stream *lbpf_stream_push(lua_State *L)
{
	struct lbpf_stream *s = lbpf_class_new(L, &stream_class, sizeof(*s), 2);

	s->timeout = -1;
	return s;
}

void lbpf_stream_set_type(lua_State *L, struct lbpf_stream *s)
{
	s->type = lua_touserdata(L, -1);
	lua_setiuservalue(L, -2, STREAM_TYPE);
}

/* Replaces what the step of an iteration was called with by its stream, so that it can be called alone. */
static struct lbpf_stream *stream_step(lua_State *L)
{
	struct lbpf_stream *s = lua_touserdata(L, lua_upvalueindex(1));

	lua_settop(L, 0);
	lua_pushvalue(L, lua_upvalueindex(1));
	if (s->fd < 0)
		luaL_error(L, "this iteration has been closed");
	return s;
}

/* Makes room for another chunk behind what is unread. */
static void stream_reserve(lua_State *L, int idx, struct lbpf_stream *s)
{
	size_t unread = s->len - s->at, room = s->room ? s->room : CHUNK;
	char *more;

	if (s->buf && s->room - unread >= CHUNK / 2) {
		memmove(s->buf, s->buf + s->at, unread);
	} else {
		while (room - unread < CHUNK / 2)
			room *= 2;
		more = lua_newuserdatauv(L, room, 0);
		if (s->buf)
			memcpy(more, s->buf + s->at, unread);
		lua_setiuservalue(L, idx, STREAM_BUFFER);
		s->buf = more;
		s->room = room;
	}
	s->at = 0;
	s->len = unread;
}

/* Reads another chunk; false at the end, and when none came in time. */
static bool stream_fill(lua_State *L, int idx, struct lbpf_stream *s)
{
	struct lbpf_wait wait = lbpf_wait_begin(s->timeout);
	int left = s->timeout, err;
	ssize_t n;

	stream_reserve(L, idx, s);
	while (s->fd >= 0) { /* a finalizer or a hook may close it */
		n = read(s->fd, s->buf + s->len, s->room - s->len);
		if (n > 0)
			s->len += (size_t)n;
		if (n >= 0)
			return n > 0;
		err = errno;
		if (err == EAGAIN && left == 0)
			return false;
		if (err == EAGAIN) {
			err = lbpf_wait_readable(s->fd, left);
			left = lbpf_wait_left(&wait);
		}
		if (err == EINTR && !lbpf_wait_run_hook(L))
			return false;
		if (err == EINTR)
			stream_reserve(L, idx, s); /* the hook may have read on */
		else if (err)
			lbpf_err_raise(L, err, NULL, "reading what the program printed");
	}
	return false;
}

void lbpf_stream_push_line(lua_State *L, int idx, struct lbpf_stream *s)
{
	size_t looked = 0;

	for (;;) {
		char *start = s->buf ? s->buf + s->at : NULL;
		char *end = start ? memchr(start + looked, '\n', s->len - s->at - looked) : NULL;

		if (end) {
			lua_pushlstring(L, start, (size_t)(end - start));
			s->at += (size_t)(end - start) + 1;
			return;
		}
		looked = s->len - s->at;
		if (stream_fill(L, idx, s))
			continue;
		if (s->len > s->at)
			lua_pushlstring(L, s->buf + s->at, s->len - s->at);
		else
			lua_pushnil(L);
		s->at = s->len;
		return;
	}
}

void lbpf_stream_push_rest(lua_State *L, int idx, struct lbpf_stream *s)
{
	while (stream_fill(L, idx, s))
		;
	lua_pushlstring(L, s->buf + s->at, s->len - s->at);
	s->at = s->len;
}

int lbpf_stream_next_line(lua_State *L)
{
	lbpf_stream_push_line(L, 1, stream_step(L));
	return 1;
}

int lbpf_stream_next_record(lua_State *L)
{
	struct lbpf_stream *s = stream_step(L);
	size_t size = s->type->size;

	while (s->len - s->at < size) {
		if (stream_fill(L, 1, s))
			continue;
		if (s->len - s->at > 0)
			luaL_error(L, "the program's output ends in the middle of a record: %I bytes of %I are left",
				   (LUAI_UACINT)(s->len - s->at), (LUAI_UACINT)size);
		lua_pushnil(L);
		return 1;
	}
	LBPF_SCRATCH(L, record, size); /* making tables may run a finalizer that reads on */
	memcpy(record, s->buf + s->at, size);
	s->at += size;
	lbpf_decode(L, s->type, record, size);
	return 1;
}

int lbpf_stream_return(lua_State *L, lua_CFunction next)
{
	lua_pushvalue(L, -1);
	lua_pushcclosure(L, next, 1);
	lua_insert(L, -2);
	lua_pushnil(L);
	lua_pushvalue(L, -2);
	return 4;
}

void lbpf_stream_open(lua_State *L)
{
	lbpf_class_register(L, &stream_class);
}
