/* SPDX-License-Identifier: MIT */
/* A command that is started, and runs when it is told to. It is part of no API: only our own Lua modules use it.
 *
 * A socket connects us with the child process, which waits for a byte before it executes the command. If the socket is
 * closed instead, the child ends. If the command can't be executed, the child sends the errno; otherwise the execution
 * closes the socket. The object owns our end of it, and a pidfd, which is readable when the command has ended. The
 * process keeps its number until we have asked for its status, so the number can't be another's.
 *
 * A release ends a command that runs still, by SIGTERM. It doesn't wait for the end. */
#define _GNU_SOURCE
#include "system/child.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lauxlib.h>

#include "base/arg.h"
#include "base/class.h"
#include "base/err.h"
#include "base/spare.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

/* Descriptors that creating a child has open at a time. */
enum { DESCRIPTORS = 3 };

struct child {
	struct lbpf_head head;
	pid_t pid;  /* 0: none was started, or the handle is closed */
	int socket; /* our end; -1: the command was told to run, or the handle is closed */
	int pidfd;  /* -1: closed, or unknown to the kernel (before 5.3) */
	bool ended; /* its status is known */
	int status; /* as a shell tells it */
};

static void close_one(int *fd)
{
	int old = *fd;

	*fd = -1;
	if (old >= 0)
		close(old);
}

/* Asks for the status. Returns 0 if the process has ended, EAGAIN if it runs, or another errno. */
static int reap(struct child *child, int flags)
{
	int status;
	pid_t pid;

	if (child->ended)
		return 0;
	do
		pid = waitpid(child->pid, &status, flags);
	while (pid < 0 && errno == EINTR);
	if (pid <= 0)
		return pid ? errno : EAGAIN;
	child->ended = true;
	child->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return 0;
}

static void child_init(void *self)
{
	struct child *child = self;

	child->socket = child->pidfd = -1;
}

static void child_release(lua_State *L, int idx, void *self)
{
	struct child *child = self;
	bool waits = child->socket >= 0;

	(void)L;
	(void)idx;
	close_one(&child->socket);
	close_one(&child->pidfd);
	if (!child->pid || child->ended || !lbpf_class_undoes(&child->head))
		return;
	if (reap(child, WNOHANG) == EAGAIN) {
		kill(child->pid, waits ? SIGKILL : SIGTERM);
		reap(child, waits ? 0 : WNOHANG);
	}
	child->pid = 0;
}

static const struct lbpf_class child_class;

static struct child *child_check(lua_State *L)
{
	struct child *child = lbpf_class_check(L, 1, &child_class);

	if (!child->pid)
		luaL_error(L, "the command's handle is closed");
	return child;
}

/* ---- the child process ---- */

/* Handlers of ours would run in the child: what they write to is the parent's. */
static void reset_signals(void)
{
	struct sigaction action;

	for (int number = 1; number < NSIG; number++)
		if (!sigaction(number, NULL, &action) && action.sa_handler != SIG_IGN)
			signal(number, SIG_DFL);
}

/* Waits and executes the command; never returns. */
static _Noreturn void run_child(char *const *argv, int socket, const sigset_t *mask)
{
	char byte;
	ssize_t n;
	int err;

	reset_signals();
	sigprocmask(SIG_SETMASK, mask, NULL);
	do
		n = read(socket, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1) {
		execvp(argv[0], argv);
		err = errno;
		send(socket, &err, sizeof(err), MSG_NOSIGNAL);
	}
	_exit(127);
}

/* Starts the child process. Returns 0 or an errno. */
static int child_acquire(struct child *child, char *const *argv)
{
	sigset_t all, mask;
	int ends[2], err;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return errno;
	child->socket = ends[0];
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &mask);
	pid = fork();
	if (!pid) {
		close(ends[0]);
		run_child(argv, ends[1], &mask);
	}
	err = pid < 0 ? errno : 0;
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	close(ends[1]);
	if (!err) {
		child->pid = pid;
		child->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	}
	return err;
}

/* ---- functions for Lua ---- */

/* child({ word, ... }) → the child process of a command that hasn't begun; or nil, message, code. */
static int l_child(lua_State *L)
{
	struct child *child;
	lua_Integer count;
	const char *word;
	char **argv;
	int err;

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	lbpf_arg_own(L, 1); /* the strings stay, even if a finalizer changes the table */
	count = (lua_Integer)lua_rawlen(L, 1);
	luaL_argcheck(L, count > 0, 1, "the words of a command expected");
	argv = lua_newuserdatauv(L, ((size_t)count + 1) * sizeof(*argv), 0);
	for (lua_Integer i = 0; i < count; i++) {
		luaL_argcheck(L, lua_rawgeti(L, 1, i + 1) == LUA_TSTRING && lbpf_arg_is_text(L, -1), 1,
			      "strings without NULs expected");
		word = lua_tostring(L, -1);
		memcpy(&argv[i], &word, sizeof(word)); /* execvp(3) writes to no word, whatever its type says */
		lua_pop(L, 1);
	}
	argv[count] = NULL;
	child = lbpf_class_new(L, &child_class, sizeof(*child), 0);
	err = lbpf_spare(L, DESCRIPTORS);
	if (!err)
		err = child_acquire(child, argv);
	if (err)
		return lbpf_err_push(L, err, NULL, "%s", argv[0]);
	return 1;
}

/* child:go() → true if the command runs now; or nil, message, code if it can't be executed. */
static int child_go(lua_State *L)
{
	struct child *child = child_check(L);
	int err = 0;
	ssize_t n;

	if (child->socket < 0)
		return luaL_error(L, "the command was started before");
	if (send(child->socket, "\n", 1, MSG_NOSIGNAL) != 1)
		err = errno; /* something has ended the child process meanwhile */
	while (!err && (n = read(child->socket, &err, sizeof(err))) < 0 && errno == EINTR)
		;
	close_one(&child->socket);
	if (err)
		return lbpf_err_push(L, err, NULL, "the command can't be executed");
	lua_pushboolean(L, 1);
	return 1;
}

/* child:pid() → the id of the process. */
static int child_pid(lua_State *L)
{
	lua_pushinteger(L, child_check(L)->pid);
	return 1;
}

/* child:fd() → a descriptor that is readable when the command has ended; nil before Linux 5.3. */
static int child_fd(lua_State *L)
{
	struct child *child = child_check(L);

	if (child->pidfd < 0)
		lua_pushnil(L);
	else
		lua_pushinteger(L, child->pidfd);
	return 1;
}

/* child:status() → the exit status as shells have it, 128 and more for signals; nil while the command runs; or nil,
 * message, code if it can't be known, as where SIGCHLD is ignored. */
static int child_status(lua_State *L)
{
	struct child *child = child_check(L);
	int err = reap(child, WNOHANG);

	if (err == EAGAIN)
		lua_pushnil(L);
	else if (err)
		return lbpf_err_push(L, err, NULL, "the command's status");
	else
		lua_pushinteger(L, child->status);
	return 1;
}

/* child:close() → true. A command that runs still is ended. */
static int child_close(lua_State *L)
{
	return lbpf_class_close(L, &child_class);
}

static const luaL_Reg child_methods[] = {
	{ "go", child_go },	    { "pid", child_pid },     { "fd", child_fd },
	{ "status", child_status }, { "close", child_close }, { NULL, NULL },
};

static const struct lbpf_class child_class = {
	.name = "bpf.child",
	.descriptors = DESCRIPTORS,
	.methods = child_methods,
	.init = child_init,
	.release = child_release,
};

void lbpf_child_open(lua_State *L)
{
	lbpf_class_register(L, &child_class);
	lua_getfield(L, -1, "posix");
	lua_pushcfunction(L, l_child);
	lua_setfield(L, -2, "child");
	lua_pop(L, 1);
}
