/* SPDX-License-Identifier: MIT */
/* Waiting for descriptors: time-outs, deadlines, and what a signal means meanwhile. */
#ifndef LBPF_BASE_WAIT_H
#define LBPF_BASE_WAIT_H

#include <stdbool.h>
#include <time.h>

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* The optional argument at idx as a time-out in milliseconds: `absent` for nil and none, -1 to wait for ever. Raises
 * for anything else than an integer from -1 on. */
int lbpf_wait_arg(lua_State *L, int idx, int absent);

/* A deadline: what wakes us may be nothing that we wait for. */
struct lbpf_wait {
	int timeout; /* ms; -1: for ever */
	struct timespec start;
};

struct lbpf_wait lbpf_wait_begin(int timeout);

/* The milliseconds that are left, rounded up; -1: for ever. */
int lbpf_wait_left(const struct lbpf_wait *wait);

/* Sleeps until the descriptor is readable or the time is over. Returns 0, EINTR after a signal that the process
 * handles, or another errno. */
int lbpf_wait_readable(int fd, int timeout);

/* The main thread's hook at our last look. A signal that comes while none of our functions waits ends no poll(2), but
 * it leaves another hook than there was. */
struct lbpf_wait_hook {
	lua_State *main;
	lua_Hook seen;
};

/* The first look. */
void lbpf_wait_watch_hook(lua_State *L, struct lbpf_wait_hook *hook);

/* Looks. Returns whether there is another hook than at the look before, perhaps a signal's. */
static inline bool lbpf_wait_hook_is_new(struct lbpf_wait_hook *hook)
{
	lua_Hook now = lua_gethook(hook->main);

	if (lbpf_likely(now == hook->seen))
		return false;
	hook->seen = now;
	return now != NULL;
}

/* Whether what a signal's handler left to Lua can happen in this coroutine. Handlers leave it as a hook; lua.c's for
 * Ctrl-C sets that in the main thread alone, where it runs once this coroutine has yielded or ended. */
bool lbpf_wait_hook_is_here(lua_State *L);

/* Lets a hook that a signal's handler has set run, which may raise. For loops within C: when they return to Lua, hooks
 * run anyway. False: the loop has to end, for the hook is not in this coroutine. */
bool lbpf_wait_run_hook(lua_State *L);

LBPF_HIDDEN_END

#endif
