/* SPDX-License-Identifier: MIT */
/* Waiting for descriptors: time-outs, deadlines, and signals that arrive meanwhile.
 *
 * We wait by poll(2), even for an epoll descriptor. After a stop (Ctrl-Z, SIGSTOP, an attached debugger) the kernel
 * resumes poll(2), and it interrupts poll(2) only for a signal that has a handler. epoll_wait(2) is interrupted by
 * both. */
#include "base/wait.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>

#include <lauxlib.h>

#include "base/arg.h"

int lbpf_wait_arg(lua_State *L, int idx, int absent)
{
	return lua_isnoneornil(L, idx) ? absent : (int)lbpf_arg_units(L, idx, -1, INT32_MAX, "milliseconds");
}

struct lbpf_wait lbpf_wait_begin(int timeout)
{
	struct lbpf_wait wait = { .timeout = timeout };

	clock_gettime(CLOCK_MONOTONIC, &wait.start);
	return wait;
}

int lbpf_wait_left(const struct lbpf_wait *wait)
{
	const int64_t ms = 1000000;
	struct timespec now;
	int64_t left; /* ns */

	if (wait->timeout < 0)
		return -1;
	clock_gettime(CLOCK_MONOTONIC, &now);
	left = wait->timeout * ms - (now.tv_sec - wait->start.tv_sec) * 1000 * ms - (now.tv_nsec - wait->start.tv_nsec);
	return left <= 0 ? 0 : (int)((left + ms - 1) / ms);
}

int lbpf_wait_readable(int fd, int timeout)
{
	struct pollfd event = { .fd = fd, .events = POLLIN };

	return poll(&event, 1, timeout) < 0 ? errno : 0;
}

static lua_State *main_thread(lua_State *L)
{
	lua_State *main;

	luaL_checkstack(L, 1, NULL);
	lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
	main = lua_tothread(L, -1);
	lua_pop(L, 1);
	return main;
}

void lbpf_wait_watch_hook(lua_State *L, struct lbpf_wait_hook *hook)
{
	hook->main = main_thread(L);
	hook->seen = lua_gethook(hook->main);
}

bool lbpf_wait_hook_is_here(lua_State *L)
{
	lua_State *main = main_thread(L);
	lua_Hook hook = lua_gethook(main);

	return main == L || !hook || hook == lua_gethook(L);
}

static int nothing(lua_State *L)
{
	(void)L;
	return 0;
}

bool lbpf_wait_run_hook(lua_State *L)
{
	if (!lbpf_wait_hook_is_here(L))
		return false;
	luaL_checkstack(L, 1, NULL);
	lua_pushcfunction(L, nothing); /* hooks run at calls */
	lua_call(L, 0, 0);
	return true;
}
