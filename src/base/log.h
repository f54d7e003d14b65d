/* SPDX-License-Identifier: MIT */
/* What libbpf prints while a call of ours runs. */
#ifndef LBPF_BASE_LOG_H
#define LBPF_BASE_LOG_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* What libbpf prints between begin and end on this thread is kept here, and goes nowhere else. */
struct lbpf_log;

/* The state's log, empty; begin and end bracket libbpf calls and nothing of Lua's. */
struct lbpf_log *lbpf_log_begin(lua_State *L);
void lbpf_log_end(struct lbpf_log *log);

/* Hands the messages to the function given to bpf.log, if any; may raise what that function raises. */
void lbpf_log_deliver(lua_State *L, struct lbpf_log *log);

/* The kept text, one message a line, valid until the next begin; "" when there is none. */
const char *lbpf_log_text(struct lbpf_log *log);

/* Pushes the last message that says why the call failed, without its newline; or nil when none does. */
const char *lbpf_log_push_last(lua_State *L, struct lbpf_log *log);

/* Opener: adds the function `log` to the module table at the top. */
void lbpf_log_open(lua_State *L);

LBPF_HIDDEN_END

#endif
