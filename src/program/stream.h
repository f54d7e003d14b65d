/* SPDX-License-Identifier: MIT */
/* Streams: reading text and records from a file descriptor. */
#ifndef LBPF_PROGRAM_STREAM_H
#define LBPF_PROGRAM_STREAM_H

#include <stdbool.h>
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
	bool endless;		      /* others write to it without an end, so a signal ends the loop */
	const struct lbpf_type *type; /* type of the records, kept by a user value */
	char *buf;		      /* kept by a user value */
	size_t room, at, len;	      /* room of buf; unread bytes are from `at` to `len` */
	size_t looked;		      /* how many unread bytes are known to have no newline */
};

/* Pushes a closed stream; store the descriptor in it. */
struct lbpf_stream *lbpf_stream_push(lua_State *L);

/* Pops the type at the top and sets it as the type of records of the stream below it. */
void lbpf_stream_set_type(lua_State *L, struct lbpf_stream *s);

/* Pushes the next line without its newline, or nil at the end. The stream s is at stack index idx. Raises if reading
 * fails. */
void lbpf_stream_push_line(lua_State *L, int idx, struct lbpf_stream *s);

/* Pushes everything up to the end. */
void lbpf_stream_push_rest(lua_State *L, int idx, struct lbpf_stream *s);

/* Functions that a loop calls. Their only upvalue is the stream; they leave it at index 1. */
int lbpf_stream_next_line(lua_State *L);
int lbpf_stream_next_record(lua_State *L);

/* Replaces the stream at the top by the four values that a generic `for` takes: next, the stream, nil, the stream to
 * close. Returns 4. */
int lbpf_stream_return(lua_State *L, lua_CFunction next);

LBPF_OPENER lbpf_stream_open(lua_State *L);

LBPF_HIDDEN_END

#endif
