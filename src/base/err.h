/* SPDX-License-Identifier: MIT */
/* Failures as scripts see them: `nil, message, code`, and what libbpf has to say about them. */
#ifndef LBPF_BASE_ERR_H
#define LBPF_BASE_ERR_H

#include <stddef.h>

#include <lua.h>

#include "base/compat.h"
#include "base/raise.h"

LBPF_HIDDEN_BEGIN

/* Pushes nil, "<fmt…>: <cause> (CODE)", "CODE" and returns 3. err is an errno or a libbpf error, of either sign.
 * cause says in words why; NULL takes the system's text. fmt is lua_pushfstring's. */
int lbpf_err_push(lua_State *L, int err, const char *cause, const char *fmt, ...);

/* Raises the same message, for syntax that has no room for a code. */
_Noreturn void lbpf_err_raise(lua_State *L, int err, const char *cause, const char *fmt, ...);

/* Pushes the symbol of an error: "EPERM", "ENOTSUPP", "LIBBPF_ERRNO__FORMAT". */
void lbpf_err_code(lua_State *L, int err);

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

void lbpf_err_open(lua_State *L);

LBPF_HIDDEN_END

#endif
