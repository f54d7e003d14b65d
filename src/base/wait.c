/* SPDX-License-Identifier: MIT */
/* Waiting for descriptors: time-outs, deadlines, and signals that arrive meanwhile.
 *
 * We wait by poll(2), even for an epoll descriptor. After a stop (Ctrl-Z, SIGSTOP, an attached debugger) the kernel
 * resumes poll(2), and it interrupts poll(2) only for a signal that has a handler. epoll_wait(2) is interrupted by
 * both. */
#define _GNU_SOURCE
#include "base/wait.h"

#include <errno.h>
#include <time.h>

#include <lauxlib.h>

#include "base/arg.h"
#include "base/caught.h"

#define NS_PER_MS INT64_C(1000000)

int lbpf_wait_arg(lua_State *L, int idx, int absent)
{
	return lua_isnoneornil(L, idx) ? absent : (int)lbpf_arg_units(L, idx, -1, INT32_MAX, "milliseconds");
}

int64_t lbpf_wait_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * (1000 * NS_PER_MS) + now.tv_nsec;
}

struct lbpf_wait lbpf_wait_begin(int timeout)
{
	return (struct lbpf_wait){ .timeout = timeout, .start = lbpf_wait_now() };
}

int lbpf_wait_left(const struct lbpf_wait *wait)
{
	int64_t left; /* ns */

	if (wait->timeout < 0)
		return -1;
	left = wait->timeout * NS_PER_MS - (lbpf_wait_now() - wait->start);
	return left <= 0 ? 0 : (int)((left + NS_PER_MS - 1) / NS_PER_MS);
}

/* ppoll(2). Returns 0 or an errno. */
static int poll_list(struct pollfd *list, nfds_t n, int64_t timeout)
{
	struct timespec time = { .tv_sec = timeout / (1000 * NS_PER_MS), .tv_nsec = timeout % (1000 * NS_PER_MS) };

	return ppoll(list, n, timeout < 0 ? NULL : &time, NULL) < 0 ? errno : 0;
}

static bool is_ready(const struct pollfd *list, nfds_t n)
{
	for (nfds_t i = 0; i < n; i++)
		if (list[i].revents)
			return true;
	return false;
}

/* A handler notes its signal before it writes to the descriptor. If the signal is taken in between, the descriptor is
 * readable for nothing, and the wait goes on. */
int lbpf_wait_poll(const lua_State *main, struct pollfd *list, nfds_t n, int64_t timeout)
{
	nfds_t more = lbpf_caught_list(main, list + n);
	int64_t end, left = timeout;
	int err;

	if (!more)
		return poll_list(list, n, timeout);
	end = timeout < 0 ? 0 : lbpf_wait_now() + timeout;
	for (;;) {
		if (lbpf_caught_look_all(main))
			return EINTR;
		err = poll_list(list, n + more, left);
		if (err || !is_ready(list + n, more))
			return err;
		lbpf_caught_settle(main);
		if (is_ready(list, n) && !lbpf_caught_look_all(main))
			return 0;
		if (timeout >= 0 && (left = end - lbpf_wait_now()) < 0)
			left = 0;
	}
}

int lbpf_wait_readable(const lua_State *main, int fd, int timeout)
{
	struct pollfd list[1 + LBPF_CAUGHT_MOST];

	list[0] = (struct pollfd){ .fd = fd, .events = POLLIN };
	return lbpf_wait_poll(main, list, 1, timeout < 0 ? -1 : timeout * NS_PER_MS);
}

lua_State *lbpf_wait_main(lua_State *L)
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
	hook->main = lbpf_wait_main(L);
	hook->seen = lua_gethook(hook->main);
}

bool lbpf_wait_hook_is_here(lua_State *L)
{
	lua_State *main = lbpf_wait_main(L);
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
