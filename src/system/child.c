/* SPDX-License-Identifier: MIT */
/* A command that is started, and runs when it is told to. It is part of no API: only our own Lua modules use it.
 *
 * The child process stops itself, by SIGSTOP, and goes on when a byte that both have says so. It doesn't wait in a
 * system call, because that one's end would be the first thing that a trace of the command shows. If the command can't
 * be executed, the child sends the errno through a socket; otherwise the execution closes the socket. The object owns
 * our end of it, and a pidfd, which is readable when the command has ended. The process keeps its number until we have
 * asked for its status, so the number can't be another's.
 *
 * Nobody would let a stopped child go on after our death. So it dies with us, and so does the command, since it can't
 * take that back without a system call.
 *
 * A release ends a command that runs still, by SIGTERM. It doesn't wait for the end. */
#define _GNU_SOURCE
#include "system/child.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
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
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif

/* Descriptors that creating a child has open at a time. */
enum { DESCRIPTORS = 3 };

struct child {
	struct lbpf_head head;
	pid_t pid;	     /* 0: none was started, or the handle is closed */
	int socket;	     /* our end; -1: the command was told to run, or the handle is closed */
	int pidfd;	     /* -1: closed, or unknown to the kernel (before 5.3) */
	atomic_bool *may_go; /* in memory that the child process has too; NULL: the handle is closed */
	bool ended;	     /* its status is known */
	int status;	     /* as a shell tells it */
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

/* Sends a signal, unless the process has ended: where its status was asked for, its number may be another's. So it may
 * where a host ignores SIGCHLD or asks for the status of any child, which only the pidfd can tell. */
static void tell(const struct child *child, int signal)
{
	if (child->ended)
		return;
	if (child->pidfd < 0 || (syscall(SYS_pidfd_send_signal, child->pidfd, signal, NULL, 0) < 0 && errno != ESRCH))
		kill(child->pid, signal);
}

static void child_init(void *self)
{
	struct child *child = self;

	child->socket = child->pidfd = -1;
}

static void give_memory(struct child *child)
{
	atomic_bool *may_go = child->may_go;

	child->may_go = NULL;
	if (may_go)
		munmap(may_go, sizeof(*may_go));
}

static void child_release(lua_State *L, int idx, void *self)
{
	struct child *child = self;
	bool waits = child->socket >= 0;

	(void)L;
	(void)idx;
	close_one(&child->socket);
	if (child->pid && lbpf_class_undoes(&child->head) && reap(child, WNOHANG) == EAGAIN) {
		tell(child, waits ? SIGKILL : SIGTERM);
		reap(child, waits ? 0 : WNOHANG);
	}
	close_one(&child->pidfd);
	give_memory(child);
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

/* What a child process needs. It allocates nothing. */
struct start {
	const char *program;
	char *const *argv;
	const sigset_t *mask;
	pid_t parent;
	int socket;
};

/* Stops, and executes the command when it may go on; never returns. */
static _Noreturn void run_child(const struct start *start, const atomic_bool *may_go)
{
	int err;

	reset_signals();
	sigprocmask(SIG_SETMASK, start->mask, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != start->parent)
		_exit(127);
	while (!*may_go)
		raise(SIGSTOP);
	execvp(start->program, start->argv);
	err = errno;
	send(start->socket, &err, sizeof(err), MSG_NOSIGNAL);
	_exit(127);
}

/* Waits until the child process has stopped, so that nothing that it does before is seen. */
static void await_stop(pid_t pid)
{
	siginfo_t info;

	while (waitid(P_PID, (id_t)pid, &info, WSTOPPED | WEXITED | WNOWAIT) < 0 && errno == EINTR)
		;
}

/* Starts the child process. Returns 0 or an errno. */
static int child_acquire(struct child *child, const char *program, char *const *argv)
{
	struct start start = { .program = program, .argv = argv, .parent = getpid() };
	sigset_t all, mask;
	int ends[2], err;
	pid_t pid;
	void *memory;

	memory = mmap(NULL, sizeof(*child->may_go), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return errno;
	child->may_go = memory;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return errno;
	child->socket = ends[0];
	start.socket = ends[1];
	start.mask = &mask;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &mask);
	pid = fork();
	if (!pid) {
		close(ends[0]);
		run_child(&start, child->may_go);
	}
	err = pid < 0 ? errno : 0;
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	close(ends[1]);
	if (!err) {
		child->pid = pid;
		child->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
		await_stop(pid);
	}
	return err;
}

/* ---- functions for Lua ---- */

static bool is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* Pushes the path of a program, so that the child process needn't try all folders of PATH, which a trace would show. */
static const char *push_program(lua_State *L, const char *name)
{
	const char *list = getenv("PATH"), *end;

	for (list = list && !strchr(name, '/') ? list : ""; *list; list = *end ? end + 1 : end) {
		end = list + strcspn(list, ":");
		lua_pushlstring(L, list, (size_t)(end - list));
		lua_pushfstring(L, "%s/%s", end > list ? lua_tostring(L, -1) : ".", name);
		if (is_program(lua_tostring(L, -1)))
			return lua_tostring(L, -1);
		lua_pop(L, 2);
	}
	return lua_pushstring(L, name);
}

/* child({ word, ... }) → the child process of a command that hasn't begun; or nil, message, code. */
static int l_child(lua_State *L)
{
	const char *word, *program;
	struct child *child;
	lua_Integer count;
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
	program = push_program(L, argv[0]);
	child = lbpf_class_new(L, &child_class, sizeof(*child), 0);
	err = lbpf_spare(L, DESCRIPTORS);
	if (!err)
		err = child_acquire(child, program, argv);
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
	*child->may_go = true;
	tell(child, SIGCONT);
	do
		n = read(child->socket, &err, sizeof(err));
	while (n < 0 && errno == EINTR);
	if (n != sizeof(err))
		err = 0; /* the execution has closed the other end */
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
