/* SPDX-License-Identifier: MIT */
/* System calls for specs that Lua's libraries don't have. A failure raises. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/bpf.h>

#include <lauxlib.h>
#include <lua.h>

int luaopen_support_sys(lua_State *L);

static int failure(lua_State *L, const char *what)
{
	return luaL_error(L, "%s: %s", what, strerror(errno));
}

/* open(path [, flags]) → descriptor */
static int sys_open(lua_State *L)
{
	int fd = open(luaL_checkstring(L, 1), (int)luaL_optinteger(L, 2, O_RDONLY) | O_CLOEXEC, 0600);

	if (fd < 0)
		return failure(L, "open");
	lua_pushinteger(L, fd);
	return 1;
}

static int sys_close(lua_State *L)
{
	close((int)luaL_checkinteger(L, 1));
	return 0;
}

/* inode(path) → its number, which of a cgroup is its id */
static int sys_inode(lua_State *L)
{
	struct stat st;

	if (stat(luaL_checkstring(L, 1), &st))
		return failure(L, "stat");
	lua_pushinteger(L, (lua_Integer)st.st_ino);
	return 1;
}

static int sys_gettid(lua_State *L)
{
	lua_pushinteger(L, gettid());
	return 1;
}

/* pidfd(process id) → descriptor */
static int sys_pidfd(lua_State *L)
{
	int fd = (int)syscall(SYS_pidfd_open, (pid_t)luaL_checkinteger(L, 1), 0);

	if (fd < 0)
		return failure(L, "pidfd_open");
	lua_pushinteger(L, fd);
	return 1;
}

/* ---- threads that wait to be ended: thread() → object with tid and close ---- */

struct thread {
	pthread_t handle;
	pid_t tid;
	int running;
	int pipe[2];
};

static void *thread_main(void *arg)
{
	struct thread *t = arg;
	char c;

	__atomic_store_n(&t->tid, gettid(), __ATOMIC_RELEASE);
	if (read(t->pipe[0], &c, 1) < 0) /* until the other end is closed */
		return t;
	return NULL;
}

static int thread_close(lua_State *L)
{
	struct thread *t = luaL_checkudata(L, 1, "support.thread");

	if (t->running) {
		close(t->pipe[1]);
		pthread_join(t->handle, NULL);
		close(t->pipe[0]);
		t->running = 0;
	}
	return 0;
}

static int thread_tid(lua_State *L)
{
	struct thread *t = luaL_checkudata(L, 1, "support.thread");

	lua_pushinteger(L, t->tid);
	return 1;
}

static int sys_thread(lua_State *L)
{
	struct thread *t = lua_newuserdatauv(L, sizeof(*t), 0);

	memset(t, 0, sizeof(*t));
	luaL_setmetatable(L, "support.thread");
	if (pipe2(t->pipe, O_CLOEXEC))
		return failure(L, "pipe");
	errno = pthread_create(&t->handle, NULL, thread_main, t);
	if (errno)
		return failure(L, "pthread_create");
	t->running = 1;
	while (!__atomic_load_n(&t->tid, __ATOMIC_ACQUIRE))
		sched_yield();
	return 1;
}

static const luaL_Reg thread_methods[] = {
	{ "tid", thread_tid }, { "close", thread_close }, { "__close", thread_close }, { "__gc", thread_close },
	{ NULL, NULL },
};

/* ---- processes ---- */

/* fork() → the child's id, and 0 in the child */
static int sys_fork(lua_State *L)
{
	pid_t pid;

	fflush(NULL); /* what is in buffers would be written twice */
	pid = fork();
	if (pid < 0)
		return failure(L, "fork");
	lua_pushinteger(L, pid);
	return 1;
}

/* clone() → the same by the system call itself, of which the C library knows nothing */
static int sys_clone(lua_State *L)
{
	long pid;

	fflush(NULL);
	pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid < 0)
		return failure(L, "clone");
	lua_pushinteger(L, pid);
	return 1;
}

/* wait(child's id) → its exit status, or minus the signal that ended it */
static int sys_wait(lua_State *L)
{
	int status;

	if (waitpid((pid_t)luaL_checkinteger(L, 1), &status, 0) < 0)
		return failure(L, "waitpid");
	lua_pushinteger(L, WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
	return 1;
}

/* ---- programs, sockets, memory ---- */

/* The two that change what is attached, without libbpf, which these modules aren't linked to. */
static int attachment(lua_State *L, enum bpf_cmd command, const char *name, __u32 flags)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.attach_bpf_fd = (__u32)luaL_checkinteger(L, 1);
	attr.target_fd = (__u32)luaL_checkinteger(L, 2);
	attr.attach_type = (__u32)luaL_checkinteger(L, 3);
	attr.attach_flags = flags;
	return syscall(SYS_bpf, command, &attr, sizeof(attr)) ? failure(L, name) : 0;
}

/* prog_attach(program descriptor, target descriptor, attach type) */
static int sys_prog_attach(lua_State *L)
{
	return attachment(L, BPF_PROG_ATTACH, "BPF_PROG_ATTACH", BPF_F_ALLOW_MULTI);
}

static int sys_prog_detach(lua_State *L)
{
	return attachment(L, BPF_PROG_DETACH, "BPF_PROG_DETACH", 0);
}

/* iterate(link descriptor) → all that the iterator's program writes */
static int sys_iterate(lua_State *L)
{
	union bpf_attr attr;
	luaL_Buffer b;
	ssize_t n;
	int fd;

	memset(&attr, 0, sizeof(attr));
	attr.iter_create.link_fd = (__u32)luaL_checkinteger(L, 1);
	fd = (int)syscall(SYS_bpf, BPF_ITER_CREATE, &attr, sizeof(attr));
	if (fd < 0)
		return failure(L, "BPF_ITER_CREATE");
	luaL_buffinit(L, &b);
	do {
		n = read(fd, luaL_prepbuffsize(&b, 4096), 4096);
		if (n > 0)
			luaL_addsize(&b, (size_t)n);
	} while (n > 0);
	close(fd);
	if (n < 0)
		return failure(L, "read");
	luaL_pushresult(&b);
	return 1;
}

/* set_congestion(socket descriptor, algorithm) → true, or nil and the cause */
static int sys_set_congestion(lua_State *L)
{
	size_t len;
	const char *name = luaL_checklstring(L, 2, &len);

	if (setsockopt((int)luaL_checkinteger(L, 1), IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)len)) {
		lua_pushnil(L);
		lua_pushstring(L, strerror(errno));
		return 2;
	}
	lua_pushboolean(L, 1);
	return 1;
}

static int sys_congestion(lua_State *L)
{
	char name[32] = "";
	socklen_t len = sizeof(name) - 1;

	if (getsockopt((int)luaL_checkinteger(L, 1), IPPROTO_TCP, TCP_CONGESTION, name, &len))
		return failure(L, "getsockopt");
	lua_pushstring(L, name);
	return 1;
}

/* shared(descriptor, offset, length, at [, value]) → the 64-bit number there before. Maps a part of what others have
 * mapped as well, and writes the value at that byte of it. */
static int sys_shared(lua_State *L)
{
	size_t length = (size_t)luaL_checkinteger(L, 3), at = (size_t)luaL_checkinteger(L, 4);
	int write = !lua_isnoneornil(L, 5);
	lua_Integer value = write ? luaL_checkinteger(L, 5) : 0, before;
	char *memory = mmap(NULL, length, write ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED,
			    (int)luaL_checkinteger(L, 1), (off_t)luaL_checkinteger(L, 2));

	if (memory == MAP_FAILED)
		return failure(L, "mmap");
	memcpy(&before, memory + at, sizeof(before));
	if (write)
		memcpy(memory + at, &value, sizeof(value));
	munmap(memory, length);
	lua_pushinteger(L, before);
	return 1;
}

/* ---- signals ---- */

static volatile sig_atomic_t handled;

static void count_signal(int signal)
{
	(void)signal;
	handled++;
}

/* handle(signal): has it counted, by a handler with SA_RESTART */
static int sys_handle(lua_State *L)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_handler = count_signal;
	action.sa_flags = SA_RESTART;
	if (sigaction((int)luaL_checkinteger(L, 1), &action, NULL))
		return failure(L, "sigaction");
	return 0;
}

/* kill(signal [, process id]): sends it, by default to this process */
static int sys_kill(lua_State *L)
{
	if (kill((pid_t)luaL_optinteger(L, 2, getpid()), (int)luaL_checkinteger(L, 1)))
		return failure(L, "kill");
	return 0;
}

static struct sigaction replaced;

/* replace(signal): as handle, and keeps what it replaces; restore(signal) puts that back */
static int sys_replace(lua_State *L)
{
	if (sigaction((int)luaL_checkinteger(L, 1), NULL, &replaced))
		return failure(L, "sigaction");
	return sys_handle(L);
}

static int sys_restore(lua_State *L)
{
	if (sigaction((int)luaL_checkinteger(L, 1), &replaced, NULL))
		return failure(L, "sigaction");
	return 0;
}

static void count_and_pass(int signal)
{
	handled++;
	replaced.sa_handler(signal);
}

/* chain(signal): has it counted, and then handled by what handled it before */
static int sys_chain(lua_State *L)
{
	int signal = (int)luaL_checkinteger(L, 1);
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_handler = count_and_pass;
	if (sigaction(signal, NULL, &replaced) || sigaction(signal, &action, NULL))
		return failure(L, "sigaction");
	return 0;
}

/* block(signal, how): blocks it in this thread, or no longer */
static int sys_block(lua_State *L)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, (int)luaL_checkinteger(L, 1));
	pthread_sigmask(lua_toboolean(L, 2) ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
	return 0;
}

/* handled() → how many signals were counted */
static int sys_handled(lua_State *L)
{
	lua_pushinteger(L, handled);
	return 1;
}

/* getpid, as functions of memory that no file is behind */
#if defined(__x86_64__)
static const unsigned char getpid_code[] = { 0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3 };
#elif defined(__aarch64__)
static const unsigned char getpid_code[] = { 0x88, 0x15, 0x80, 0xd2, 0x01, 0, 0, 0xd4, 0xc0, 0x03, 0x5f, 0xd6 };
#else
#error "getpid in machine code, please"
#endif

/* call_from_nowhere() → first and last address of the page that a system call was made from; the page is gone again */
static int sys_call_from_nowhere(lua_State *L)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	union {
		void *memory;
		int (*function)(void);
	} code;
	int pid;

	code.memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (code.memory == MAP_FAILED)
		return failure(L, "mmap");
	memcpy(code.memory, getpid_code, sizeof(getpid_code));
	__builtin___clear_cache(code.memory, (char *)code.memory + sizeof(getpid_code));
	if (mprotect(code.memory, size, PROT_READ | PROT_EXEC))
		return failure(L, "mprotect");
	pid = code.function();
	lua_pushinteger(L, (lua_Integer)(uintptr_t)code.memory);
	lua_pushinteger(L, (lua_Integer)((uintptr_t)code.memory + size - 1));
	munmap(code.memory, size);
	if (pid != getpid())
		return luaL_error(L, "getpid gave %d", pid);
	return 2;
}

static const luaL_Reg functions[] = {
	{ "open", sys_open },
	{ "close", sys_close },
	{ "inode", sys_inode },
	{ "gettid", sys_gettid },
	{ "pidfd", sys_pidfd },
	{ "thread", sys_thread },
	{ "fork", sys_fork },
	{ "clone", sys_clone },
	{ "wait", sys_wait },
	{ "prog_attach", sys_prog_attach },
	{ "prog_detach", sys_prog_detach },
	{ "iterate", sys_iterate },
	{ "set_congestion", sys_set_congestion },
	{ "congestion", sys_congestion },
	{ "shared", sys_shared },
	{ "handle", sys_handle },
	{ "handled", sys_handled },
	{ "kill", sys_kill },
	{ "replace", sys_replace },
	{ "restore", sys_restore },
	{ "chain", sys_chain },
	{ "block", sys_block },
	{ "call_from_nowhere", sys_call_from_nowhere },
	{ NULL, NULL },
};

int luaopen_support_sys(lua_State *L)
{
	luaL_newmetatable(L, "support.thread");
	luaL_setfuncs(L, thread_methods, 0);
	lua_pushvalue(L, -1);
	lua_setfield(L, -2, "__index");
	luaL_newlib(L, functions);
	return 1;
}
