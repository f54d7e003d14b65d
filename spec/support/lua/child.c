/* SPDX-License-Identifier: MIT */
/* Runs parts of a Lua program in processes of their own: require "support.child". A failure raises. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>

#define TIMED_OUT 124 /* as timeout(1) has it */

int luaopen_support_child(lua_State *L);

static int failure(lua_State *L, const char *what)
{
	return luaL_error(L, "%s: %s", what, strerror(errno));
}

/* fork() → the child's pid; 0 in the child, which leads a process group and reads nothing */
static int child_fork(lua_State *L)
{
	pid_t pid = fork();

	if (pid < 0)
		return failure(L, "fork");
	if (pid == 0) {
		int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

		if (setpgid(0, 0) || null < 0 || dup2(null, STDIN_FILENO) < 0)
			_exit(126);
		close(null);
	}
	lua_pushinteger(L, pid);
	return 1;
}

/* Waits until a process has ended, for some seconds. Returns whether it has. */
static int ends_within(pid_t pid, int seconds)
{
	struct pollfd end = { .fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };
	int n;

	if (end.fd < 0)
		return 1; /* waitpid says why */
	do
		n = poll(&end, 1, seconds * 1000);
	while (n < 0 && errno == EINTR);
	close(end.fd);
	return n != 0;
}

/* wait(pid, seconds) → exit status, 128 + n when signal n ended it, 124 when it and its group were killed for taking longer */
static int child_wait(lua_State *L)
{
	pid_t pid = (pid_t)luaL_checkinteger(L, 1);
	int on_time = ends_within(pid, (int)luaL_checkinteger(L, 2)), status;

	kill(-pid, SIGKILL); /* what it left running must not disturb the next one */
	if (waitpid(pid, &status, 0) < 0)
		return failure(L, "waitpid");
	lua_pushinteger(L, !on_time ? TIMED_OUT : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	return 1;
}

int luaopen_support_child(lua_State *L)
{
	static const luaL_Reg functions[] = { { "fork", child_fork }, { "wait", child_wait }, { NULL, NULL } };

	luaL_newlib(L, functions);
	return 1;
}
