/* SPDX-License-Identifier: MIT */
/* Streams: reading text and records from a file descriptor, to which iterator programs or the kernel's trace pipe
 * write. */
#include "program/stream.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>

#include "base/caught.h"
#include "base/err.h"
#include "value/codec.h"

#define CHUNK 4096

enum { STREAM_BUFFER = 1, STREAM_TYPE };

static const struct lbpf_class stream_class = {
	.name = "bpf.stream",
	.descriptors = 4,
	.init = lbpf_holder_init,
	.release = lbpf_holder_release,
};

struct lbpf_stream *lbpf_stream_push(lua_State *L)
{
	struct lbpf_stream *s = lbpf_class_new(L, &stream_class, sizeof(*s), 2);

	s->timeout = -1;
	lbpf_wait_watch_hook(L, &s->hook);
	return s;
}

void lbpf_stream_set_type(lua_State *L, struct lbpf_stream *s)
{
	s->type = lua_touserdata(L, -1);
	lua_setiuservalue(L, -2, STREAM_TYPE);
}

/* Replaces the arguments of a loop's function by its stream, so that scripts can also call the function without
 * arguments. */
static struct lbpf_stream *stream_step(lua_State *L)
{
	struct lbpf_stream *s = lua_touserdata(L, lua_upvalueindex(1));

	lua_settop(L, 0);
	lua_pushvalue(L, lua_upvalueindex(1));
	if (s->file.fd < 0)
		luaL_error(L, "this iteration has been closed");
	return s;
}

static const char *unread(const struct lbpf_stream *s)
{
	return s->buf ? s->buf + s->at : "";
}

/* Consumes so many unread bytes and returns where they are. They stay there until something is allocated. */
static const char *stream_take(struct lbpf_stream *s, size_t size)
{
	const char *bytes = unread(s);

	s->at += size;
	s->looked = 0;
	return bytes;
}

/* Whether a buffer of so many bytes has room for one more chunk after the unread bytes. */
static bool has_room(const struct lbpf_stream *s, size_t room)
{
	return room >= s->len - s->at + CHUNK / 2;
}

/* Makes room for one more chunk after the unread bytes. Allocating may run a finalizer that reads from the stream, so
 * the unread bytes are looked at only afterwards. */
static void stream_reserve(lua_State *L, int idx, struct lbpf_stream *s)
{
	while (!has_room(s, s->room)) {
		size_t room = s->room ? s->room : CHUNK;
		char *more;

		while (!has_room(s, room))
			room *= 2;
		more = lua_newuserdatauv(L, room, 0);
		if (has_room(s, room)) {
			memcpy(more, unread(s), s->len - s->at);
			lua_pushvalue(L, -1);
			lua_setiuservalue(L, idx, STREAM_BUFFER);
			s->len -= s->at;
			s->at = 0;
			s->buf = more;
			s->room = room;
		}
		lua_pop(L, 1);
	}
	memmove(s->buf, s->buf + s->at, s->len - s->at);
	s->len -= s->at;
	s->at = 0;
}

/* A loop over what has no end is ended by a signal that bpf.signals catches. An iterator ends by itself, and half of
 * its output would pass for all of it. */
static bool goes_on(const struct lbpf_stream *s)
{
	return !s->endless || !lbpf_caught_ends(s->hook.main);
}

static int stream_wait(struct lbpf_stream *s, int left)
{
	return lbpf_wait_hook_is_new(&s->hook) ? EINTR : lbpf_wait_readable(s->hook.main, s->file.fd, left);
}

/* Reads one more chunk. Returns false at the end, or if no data arrived in time. */
static bool stream_fill(lua_State *L, int idx, struct lbpf_stream *s)
{
	struct lbpf_wait wait = lbpf_wait_begin(s->timeout);
	int left = s->timeout, err;
	ssize_t n;

	stream_reserve(L, idx, s);
	while (s->file.fd >= 0 && goes_on(s)) { /* a finalizer or a hook may close it */
		n = read(s->file.fd, s->buf + s->len, s->room - s->len);
		if (n > 0)
			s->len += (size_t)n;
		if (n >= 0)
			return n > 0;
		err = errno;
		if (err == EAGAIN && left == 0)
			return false;
		if (err == EAGAIN) {
			err = stream_wait(s, left);
			left = lbpf_wait_left(&wait);
		}
		if (err == EINTR && !lbpf_wait_run_hook(L))
			return false;
		if (err == EINTR)
			stream_reserve(L, idx, s); /* the hook may have read from the stream */
		else if (err)
			lbpf_err_raise(L, err, NULL, "reading what the program printed");
	}
	return false;
}

static void push_unread(lua_State *L, struct lbpf_stream *s)
{
	size_t size = s->len - s->at;

	lua_pushlstring(L, stream_take(s, size), size);
}

void lbpf_stream_push_line(lua_State *L, int idx, struct lbpf_stream *s)
{
	do {
		const char *start = unread(s), *end = memchr(start + s->looked, '\n', s->len - s->at - s->looked);

		/* Consumed first, because pushing the line may run a finalizer that reads from the stream. */
		if (end) {
			stream_take(s, (size_t)(end - start) + 1);
			lua_pushlstring(L, start, (size_t)(end - start));
			return;
		}
		s->looked = s->len - s->at;
	} while (stream_fill(L, idx, s));
	if (s->len > s->at)
		push_unread(L, s);
	else
		lua_pushnil(L);
}

void lbpf_stream_push_rest(lua_State *L, int idx, struct lbpf_stream *s)
{
	while (stream_fill(L, idx, s))
		;
	push_unread(L, s);
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

	LBPF_SCRATCH(L, record, size); /* decoding allocates as well, so a copy is decoded */
	while (s->len - s->at < size) {
		if (stream_fill(L, 1, s))
			continue;
		if (s->len - s->at > 0)
			luaL_error(L, "the program's output ends in the middle of a record: %I bytes of %I are left",
				   (LUAI_UACINT)(s->len - s->at), (LUAI_UACINT)size);
		lua_pushnil(L);
		return 1;
	}
	memcpy(record, stream_take(s, size), size);
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
