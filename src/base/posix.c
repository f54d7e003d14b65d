/* SPDX-License-Identifier: MIT */
/* POSIX functions for our own Lua modules, which get them by `require "bpf.base.posix"`. They are not part of the API.
 * So the module table has them only through its metatable, where pairs doesn't find them. */
#define _GNU_SOURCE
#include "base/posix.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <lauxlib.h>

#include "base/bpffd.h"
#include "base/caught.h"
#include "base/cause.h"
#include "base/draft.h"
#include "base/err.h"
#include "base/files.h"
#include "base/wait.h"

/* machine() → the kernel's name of the processor's architecture, such as x86_64 or aarch64. */
static int posix_machine(lua_State *L)
{
	struct utsname name;

	uname(&name);
	lua_pushstring(L, name.machine);
	return 1;
}

/* kernel() → text that names the running kernel: its release, when it was built, and the machine. */
static int posix_kernel(lua_State *L)
{
	struct utsname name;

	uname(&name);
	lua_pushfstring(L, "%s %s %s", name.release, name.version, name.machine);
	return 1;
}

/* finish(file) → true if everything that was written to the file has arrived, as far as write(2) and close(2) can tell;
 * or nil, message, code. The file stays open, because Lua code can't close standard output. */
static int posix_finish(lua_State *L)
{
	const luaL_Stream *stream = luaL_checkudata(L, 1, LUA_FILEHANDLE);
	int err = 0, copy;

	if (!stream->closef)
		return luaL_argerror(L, 1, "the file is closed");
	if (fflush(stream->f))
		err = errno;
	else if (ferror(stream->f)) /* print has ignored the errno; one more byte fails alike */
		err = write(fileno(stream->f), "\n", 1) < 0 ? errno : EIO;
	copy = err ? -1 : dup(fileno(stream->f));
	if (copy >= 0 && close(copy)) /* network file systems report errors only when closing */
		err = errno;
	if (err)
		return lbpf_err_push(L, err, NULL, "write");
	lua_pushboolean(L, 1);
	return 1;
}

/* make_directory(path) → the path of a new directory, in which the last six letters, "XXXXXX", are replaced; or nil,
 * message, code. */
static int posix_make_directory(lua_State *L)
{
	size_t size;
	const char *template = luaL_checklstring(L, 1, &size);
	char *path = lua_newuserdatauv(L, size + 1, 0);

	memcpy(path, template, size + 1);
	if (!mkdtemp(path))
		return lbpf_err_push(L, errno, NULL, "%s", template);
	lua_pushstring(L, path);
	return 1;
}

/* pid() → the id of this process. With it, what is to be removed at the end of a scope is removed by the process that
 * made it, not by its children. */
static int posix_pid(lua_State *L)
{
	lua_pushinteger(L, getpid());
	return 1;
}

/* write_file(path, text) → true, or nil, message, code. */
static int posix_write_file(lua_State *L)
{
	size_t size;
	const char *path = luaL_checkstring(L, 1), *text = luaL_checklstring(L, 2, &size);
	int err = lbpf_draft_write(path, text, size);

	if (err)
		return lbpf_err_push(L, err, NULL, "%s", path);
	lua_pushboolean(L, 1);
	return 1;
}

/* What poll(2) is to wait for: that a descriptor is broken, it tells in any case. */
static short events_of(const char *what)
{
	return *what == 'r' ? POLLIN : *what == 'w' ? POLLOUT : 0;
}

/* Fills the list from the table at 1, which maps descriptors to "read" or "write". Returns the number of descriptors,
 * at most `room`. */
static nfds_t fill(lua_State *L, struct pollfd *list, nfds_t room)
{
	nfds_t n = 0;

	lua_pushnil(L);
	while (lua_next(L, 1)) {
		if (n < room)
			list[n] = (struct pollfd){
				.fd = (int)lua_tointeger(L, -2),
				.events = events_of(luaL_checkstring(L, -1)),
			};
		n++;
		lua_pop(L, 1);
	}
	return n;
}

/* poll({ [fd] = "read", "write" or "broken" }, milliseconds) → { [fd] = true } for each descriptor that is ready or
 * broken; empty after a time-out or a signal; or nil, message, code. */
static int posix_poll(lua_State *L)
{
	struct pollfd *list;
	nfds_t n, count;
	int timeout, err;

	luaL_checktype(L, 1, LUA_TTABLE);
	timeout = lbpf_wait_arg(L, 2, -1);
	lua_settop(L, 1);
	n = fill(L, NULL, 0);
	list = lua_newuserdatauv(L, (n + LBPF_CAUGHT_MOST) * sizeof(*list), 0);
	lua_newtable(L);
	count = fill(L, list, n); /* finalizers may have changed the table */
	n = count < n ? count : n;
	err = lbpf_wait_poll(lbpf_wait_main(L), list, n, timeout < 0 ? -1 : timeout * INT64_C(1000000));
	if (err)
		return err == EINTR ? 1 : lbpf_err_push(L, err, NULL, "poll");
	for (nfds_t i = 0; i < n; i++)
		if (list[i].revents) {
			lua_pushboolean(L, 1);
			lua_rawseti(L, -2, list[i].fd);
		}
	return 1;
}

/* signalled() → whether a signal that bpf.signals catches came and has not been polled yet. */
static int posix_signalled(lua_State *L)
{
	lua_pushboolean(L, lbpf_caught_ends(lbpf_wait_main(L)));
	return 1;
}

/* code(errno) → "EMFILE"; code(text) → the code of an errno by its text from strerror(3), or nil. */
static int posix_code(lua_State *L)
{
	const char *text;
	char room[128];

	if (lua_isinteger(L, 1)) {
		lbpf_err_code(L, (int)lua_tointeger(L, 1));
		return 1;
	}
	text = luaL_checkstring(L, 1);
	for (int err = 1; err < 134; err++)
		if (!strcmp(text, strerror_r(err, room, sizeof(room)))) {
			lbpf_err_code(L, err);
			return 1;
		}
	lua_pushnil(L);
	return 1;
}

/* The descriptor of the argument, which is an integer or an open file. */
static int fd_arg(lua_State *L, int arg)
{
	const luaL_Stream *stream;

	if (lua_isinteger(L, arg))
		return (int)lua_tointeger(L, arg);
	stream = luaL_checkudata(L, arg, LUA_FILEHANDLE);
	if (!stream->closef)
		return luaL_argerror(L, arg, "the file is closed");
	return fileno(stream->f);
}

/* window(descriptor or file) → the terminal's columns and lines, which are 0 where nobody knows them, as on a serial
 * line; nothing if it is no terminal. */
static int posix_window(lua_State *L)
{
	struct winsize size;

	if (ioctl(fd_arg(L, 1), TIOCGWINSZ, &size))
		return 0;
	lua_pushinteger(L, size.ws_col);
	lua_pushinteger(L, size.ws_row);
	return 2;
}

/* signal(n) → the name of a signal, such as "SIGTERM", or nil. Of two names it is the kernel's. */
static int posix_signal(lua_State *L)
{
	lua_Integer n = luaL_checkinteger(L, 1);
	const char *name = n > 0 && n < INT_MAX ? sigabbrev_np((int)n) : NULL;

	if (n == SIGIO)
		name = "IO"; /* which glibc calls POLL */
	if (name)
		lua_pushfstring(L, "SIG%s", name);
	else
		lua_pushnil(L);
	return 1;
}

/* user(uid) → the user's name; nil if there is none; or nil, message, code. */
static int posix_user(lua_State *L)
{
	enum { ROOM = 16384 };
	uid_t uid = (uid_t)luaL_checkinteger(L, 1);
	char *room = lua_newuserdatauv(L, ROOM, 0);
	struct passwd entry, *found;
	int err = getpwuid_r(uid, &entry, room, ROOM, &found);

	if (err)
		return lbpf_err_push(L, err, NULL, "getpwuid");
	lua_pushstring(L, found ? found->pw_name : NULL);
	return 1;
}

/* file_number(path) → the device and the inode of a file; or nil, message, code. */
static int posix_file_number(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	struct stat file;

	if (stat(path, &file))
		return lbpf_err_push(L, errno, NULL, "stat '%s'", path);
	lua_pushinteger(L, (lua_Integer)file.st_dev);
	lua_pushinteger(L, (lua_Integer)file.st_ino);
	return 2;
}

/* pinned(path) → "map", "prog" or "link", and the id of the BPF object that is pinned there; or nil, message, code. */
static int posix_pinned(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1), *kind = NULL;
	int fd = bpf_obj_get(path), err = errno;
	uint32_t id = 0;

	if (fd < 0 && err == EACCES) { /* of maps, reading may be allowed */
		LIBBPF_OPTS(bpf_obj_get_opts, opts, .file_flags = BPF_F_RDONLY);

		fd = bpf_obj_get_opts(path, &opts);
		err = errno;
	}
	if (fd >= 0) {
		kind = lbpf_fd_identify(fd, &id);
		err = errno;
		close(fd);
	}
	if (!kind)
		return lbpf_err_push(L, err, lbpf_no_pin(path), "pin '%s'", path);
	lua_pushstring(L, kind);
	lua_pushinteger(L, id);
	return 2;
}

/* lock(file) → true, or nil, message, code: EAGAIN while another process has the lock. The lock ends when the file is
 * closed or this process ends. Programs that it starts don't inherit the lock. */
static int posix_lock(lua_State *L)
{
	const luaL_Stream *stream = luaL_checkudata(L, 1, LUA_FILEHANDLE);

	if (!stream->closef)
		return luaL_argerror(L, 1, "the file is closed");
	fcntl(fileno(stream->f), F_SETFD, FD_CLOEXEC);
	if (flock(fileno(stream->f), LOCK_EX | LOCK_NB))
		return lbpf_err_push(L, errno, NULL, "lock");
	lua_pushboolean(L, 1);
	return 1;
}

/* exhausted() → nil if a file can be opened; otherwise the reason: "Too many open files (EMFILE)", "EMFILE". For
 * callers that got only "not found", for example from require. */
static int posix_exhausted(lua_State *L)
{
	int fd = open("/", O_PATH | O_CLOEXEC), err = errno;

	if (fd >= 0)
		close(fd);
	if (fd >= 0 || (err != EMFILE && err != ENFILE && err != ENOMEM))
		return 0;
	lbpf_err_code(L, err);
	lua_pushfstring(L, "%s (%s)", strerrordesc_np(err), lua_tostring(L, -1));
	lua_insert(L, -2);
	return 2;
}

/* Lua's `error`. But if the function of the given level is a C function, such as pcall, the place in the message is
 * that of the nearest Lua function on the call stack. */
static int posix_error(lua_State *L)
{
	int level = lua_isinteger(L, 2) ? (int)lua_tointeger(L, 2) : 1;

	lua_settop(L, 1);
	if (lua_type(L, 1) == LUA_TSTRING && level > 0) {
		lbpf_where(L, level);
		lua_insert(L, 1);
		lua_concat(L, 2);
	}
	return lua_error(L);
}

void lbpf_posix_open(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "machine", posix_machine },
		{ "code", posix_code },
		{ "error", posix_error },
		{ "exhausted", posix_exhausted },
		{ "finish", posix_finish },
		{ "file_number", posix_file_number },
		{ "kernel", posix_kernel },
		{ "lock", posix_lock },
		{ "make_directory", posix_make_directory },
		{ "pid", posix_pid },
		{ "pinned", posix_pinned },
		{ "poll", posix_poll },
		{ "signal", posix_signal },
		{ "signalled", posix_signalled },
		{ "user", posix_user },
		{ "window", posix_window },
		{ "write_file", posix_write_file },
		{ NULL, NULL },
	};

	lua_createtable(L, 0, 1);
	lua_createtable(L, 0, 1);
	luaL_newlib(L, functions);
	lbpf_files_open(L);
	lua_setfield(L, -2, "posix");
	lua_setfield(L, -2, "__index");
	lua_setmetatable(L, -2);
}
