/* SPDX-License-Identifier: MIT */
/* Closing descriptors by another process. It is part of no API: only our own Lua modules use it.
 *
 * The last close of a perf event on a tracepoint or probe waits until no CPU uses it any more: about 0.05 s for each,
 * one after the other, whichever threads or processes close them. A process that has them as well is started, of a
 * session of its own. It ends once this process has closed its own: the kernel closes them then. So what this process
 * closes isn't the last one, and takes no time. Only system calls are made there, because other threads may have held
 * locks. */
#define _GNU_SOURCE
#include "system/leave.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lauxlib.h>

#include "base/err.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* Closes all descriptors from first on and below `end`. */
static void close_between(unsigned int first, unsigned int end)
{
	if (first >= end || syscall(SYS_close_range, first, end - 1, 0) == 0)
		return;
	/* before Linux 5.9 */
	if (end > (unsigned int)sysconf(_SC_OPEN_MAX))
		end = (unsigned int)sysconf(_SC_OPEN_MAX);
	for (; first < end; first++)
		close((int)first);
}

#define LONGEST 10000 /* milliseconds until the process ends in any case: another child may have the pipe's end */

/* What the process does that closes the descriptors, which are in ascending order: it keeps no other ones, such as a
 * pipe whose reader waits for the end. It ends when the other end of `until`, one of them, is closed. */
static void keep(const unsigned int *fds, size_t count, int until)
{
	struct pollfd end = { .fd = until, .events = POLLIN };
	unsigned int next = 0;

	for (size_t i = 0; i < count; i++) {
		close_between(next, fds[i]);
		next = fds[i] + 1;
	}
	close_between(next, ~0U);
	poll(&end, 1, LONGEST);
	_exit(0);
}

/* Starts that process. It is a child of a child that ends at once, so that nobody has to wait for it. */
static int start(const unsigned int *fds, size_t count, int until)
{
	sigset_t all, mask;
	pid_t pid;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &mask);
	pid = fork();
	if (!pid) {
		setsid();
		if (!fork())
			keep(fds, count, until);
		_exit(0);
	}
	err = pid < 0 ? errno : 0;
	while (!err && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	return err;
}

static int compare(const void *a, const void *b)
{
	const unsigned int *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* leave({ descriptor, ... }, close) → true: another process has copies of these, and closes them after close(), in
 * which this one closes its own. Or nil, message, code; then close isn't called. */
static int l_leave(lua_State *L)
{
	unsigned int *fds;
	lua_Integer count;
	int err, status, is_int = 0, ends[2];

	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_checktype(L, 2, LUA_TFUNCTION);
	lua_settop(L, 2);
	count = (lua_Integer)lua_rawlen(L, 1);
	fds = lua_newuserdatauv(L, ((size_t)count + 1) * sizeof(*fds), 0);
	for (lua_Integer i = 0; i < count; i++) {
		lua_Integer fd = lua_rawgeti(L, 1, i + 1) == LUA_TNUMBER ? lua_tointegerx(L, -1, &is_int) : -1;

		luaL_argcheck(L, fd >= 0 && fd <= INT_MAX && is_int, 1, "descriptors expected");
		fds[i] = (unsigned int)fd;
		lua_pop(L, 1);
	}
	lua_pushvalue(L, 2);
	if (pipe2(ends, O_CLOEXEC))
		return lbpf_err_push(L, errno, NULL, "leave");
	fds[count] = (unsigned int)ends[0];
	qsort(fds, (size_t)count + 1, sizeof(*fds), compare);
	err = start(fds, (size_t)count + 1, ends[0]);
	close(ends[0]);
	status = err ? LUA_OK : lua_pcall(L, 0, 0, 0);
	close(ends[1]);
	if (err)
		return lbpf_err_push(L, err, NULL, "leave");
	if (status != LUA_OK)
		return lua_error(L);
	lua_pushboolean(L, 1);
	return 1;
}

static const luaL_Reg functions[] = {
	{ "leave", l_leave },
	{ NULL, NULL },
};

void lbpf_leave_open(lua_State *L)
{
	lua_getfield(L, -1, "posix");
	luaL_setfuncs(L, functions, 0);
	lua_pop(L, 1);
}
