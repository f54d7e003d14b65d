/* SPDX-License-Identifier: MIT */
/* Streams: text and records from a file descriptor. */
#ifndef LBPF_PROGRAM_STREAM_H
#define LBPF_PROGRAM_STREAM_H

#include <stdint.h>

#include <lua.h>

#include "base/class.h"
#include "base/compat.h"
#include "base/wait.h"
#include "value/plan.h"

LBPF_HIDDEN_BEGIN

struct lbpf_stream {
	struct lbpf_holder file;
	struct lbpf_wait_hook hook;
	int timeout;		      /* ms to wait for more; -1: for ever */
	const struct lbpf_type *type; /* of records, kept by a user value */
	char *buf;		      /* kept by a user value */
	size_t room, at, len;	      /* the unread part is from at to len */
	size_t looked;		      /* so many unread bytes have no newline */
};

/* Pushes a closed stream; store the descriptor in it. */
struct lbpf_stream *lbpf_stream_push(lua_State *L);

/* Pops the type at the top into the stream below it. */
void lbpf_stream_set_type(lua_State *L, struct lbpf_stream *s);

/* Pushes the next line without its newline, or nil at the end; s is at stack index idx. Raises when reading fails. */
void lbpf_stream_push_line(lua_State *L, int idx, struct lbpf_stream *s);

/* Pushes all that is left. */
void lbpf_stream_push_rest(lua_State *L, int idx, struct lbpf_stream *s);

/* Steps of iterations, whose only upvalue is the stream; they leave it at index 1. */
int lbpf_stream_next_line(lua_State *L);
int lbpf_stream_next_record(lua_State *L);

/* Replaces the stream at the top by what generic for takes: next, the stream, nil, the stream to close. Returns 4. */
int lbpf_stream_return(lua_State *L, lua_CFunction next);

void lbpf_stream_open(lua_State *L);

LBPF_HIDDEN_END

#endif
