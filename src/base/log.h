/* SPDX-License-Identifier: MIT */
/* The messages that libbpf prints while one of our calls runs. */
#ifndef LBPF_BASE_LOG_H
#define LBPF_BASE_LOG_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* The messages that libbpf prints between begin and end on this thread. They are kept here, and go nowhere else. */
struct lbpf_log;

/* Returns the state's log, emptied. Only calls of libbpf may stand between begin and end, no calls of Lua. */
struct lbpf_log *lbpf_log_begin(lua_State *L);
void lbpf_log_end(struct lbpf_log *log);

/* Passes the messages to the function that was given to bpf.log, if any. May raise what that function raises. */
void lbpf_log_deliver(lua_State *L, struct lbpf_log *log);

/* The messages, one per line, valid until the next begin; "" if there are none. */
const char *lbpf_log_text(struct lbpf_log *log);

/* Pushes the last message that says why the call failed, without its newline; or nil if no message does. */
const char *lbpf_log_push_last(lua_State *L, struct lbpf_log *log);

/* Opener: adds the function `log` to the module table at the top. */
LBPF_OPENER lbpf_log_open(lua_State *L);

LBPF_HIDDEN_END

#endif
