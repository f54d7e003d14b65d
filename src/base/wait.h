/* SPDX-License-Identifier: MIT */
/* Waiting for descriptors: time-outs, deadlines, and signals that arrive meanwhile. */
#ifndef LBPF_BASE_WAIT_H
#define LBPF_BASE_WAIT_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* The optional argument at idx, a time-out in milliseconds: -1 waits for ever; nil and none stand for `absent`. Raises
 * for anything but an integer from -1 on. */
int lbpf_wait_arg(lua_State *L, int idx, int absent);

/* A deadline. It is needed because a wait may end early, for a reason other than what we wait for. */
struct lbpf_wait {
	int timeout;   /* ms; -1: for ever */
	int64_t start; /* ns */
};

/* Nanoseconds of the monotonic clock. */
int64_t lbpf_wait_now(void);

struct lbpf_wait lbpf_wait_begin(int timeout);

/* The milliseconds that are left, rounded up; -1: for ever. */
int lbpf_wait_left(const struct lbpf_wait *wait);

/* The main thread of a state; it stands for the state. */
lua_State *lbpf_wait_main(lua_State *L);

/* Sleeps until one of the n descriptors is ready or the time is over, in nanoseconds, -1 for ever. Returns 0, EINTR
 * after a signal that the process handles, or another errno; EINTR at once while the state has signals to take. The
 * list has room for LBPF_CAUGHT_MOST more. */
int lbpf_wait_poll(const lua_State *main, struct pollfd *list, nfds_t n, int64_t timeout);

/* The same for one descriptor that is to be read, -1 for none, with a time-out in milliseconds. */
int lbpf_wait_readable(const lua_State *main, int fd, int timeout);

/* The main thread's hook when we last checked. A signal that arrives while none of our functions waits doesn't
 * interrupt poll(2). But its handler has set another hook. */
struct lbpf_wait_hook {
	lua_State *main;
	lua_Hook seen;
};

/* Stores the current hook. */
void lbpf_wait_watch_hook(lua_State *L, struct lbpf_wait_hook *hook);

/* Checks. Returns whether the hook differs from the last one, perhaps because a signal handler has set it. */
static inline bool lbpf_wait_hook_is_new(struct lbpf_wait_hook *hook)
{
	lua_Hook now = lua_gethook(hook->main);

	if (lbpf_likely(now == hook->seen))
		return false;
	hook->seen = now;
	return now != NULL;
}

/* Whether a hook that a signal handler has set can run in this coroutine. lua.c's handler for Ctrl-C sets the hook in
 * the main thread only. There it runs once this coroutine has yielded or ended. */
bool lbpf_wait_hook_is_here(lua_State *L);

/* Runs a hook that a signal handler has set, which may raise. For loops in C: when a function returns to Lua, hooks run
 * anyway. Returns false if the loop must end, because the hook is not set in this coroutine. */
bool lbpf_wait_run_hook(lua_State *L);

LBPF_HIDDEN_END

#endif
