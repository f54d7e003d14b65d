/* SPDX-License-Identifier: MIT */
/* Files of other processes: what they have mapped, and what lies below their root directory.
 *
 * The other process may be hostile. At a path of its own it can put a pipe, where open(2) would wait for ever, a
 * device, or a symbolic link that leads out of its root. So a path is resolved within the root (openat2(2), Linux 5.6),
 * and only a regular file is opened. Lua owns the file handle. */
#define _GNU_SOURCE
#include "system/procfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <lauxlib.h>

#include "base/err.h"
#include "base/raise.h"
#include "base/spare.h"

/* A descriptor that names a file below a root directory, or anywhere if root is NULL. Returns -1 with errno. */
static int find(const char *root, const char *path)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	int top, fd, err;
	char whole[PATH_MAX];

	if (!root)
		return open(path, O_PATH | O_CLOEXEC);
	top = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (top < 0)
		return -1;
	fd = (int)syscall(SYS_openat2, top, path, &how, sizeof(how));
	err = errno;
	close(top);
	/* An old kernel, or a seccomp filter that doesn't know the call. */
	if (fd < 0 && (err == ENOSYS || err == EPERM)) {
		if (snprintf(whole, sizeof(whole), "%s/%s", root, path) < (int)sizeof(whole))
			return open(whole, O_PATH | O_CLOEXEC);
		err = ENAMETOOLONG;
	}
	errno = err;
	return fd;
}

/* A descriptor for reading the regular file, or -1 with errno. */
static int open_found(const char *root, const char *path)
{
	int found = find(root, path), fd = -1, err;
	struct stat st;
	char name[64];

	if (found < 0)
		return -1;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", found);
	if (!fstat(found, &st)) {
		errno = ENOENT; /* nothing that has symbols */
		if (S_ISREG(st.st_mode))
			fd = open(name, O_RDONLY | O_CLOEXEC);
	}
	err = errno;
	close(found);
	errno = err;
	return fd;
}

static int close_stream(lua_State *L)
{
	luaL_Stream *stream = luaL_checkudata(L, 1, LUA_FILEHANDLE);

	return luaL_fileresult(L, fclose(stream->f) == 0, NULL);
}

/* open_regular(path, root or nil) → a file handle for reading, as io.open returns it; or nil, message, errno. */
static int posix_open_regular(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1), *root = lua_isnoneornil(L, 2) ? NULL : luaL_checkstring(L, 2);
	luaL_Stream *stream = lua_newuserdatauv(L, sizeof(*stream), 0);
	int err, fd;

	stream->closef = NULL;
	luaL_setmetatable(L, LUA_FILEHANDLE);
	err = lbpf_spare(L, 3);
	fd = err ? -1 : open_found(root, path);
	stream->f = fd < 0 ? NULL : fdopen(fd, "rb");
	if (!stream->f) {
		err = err ? err : errno;
		if (fd >= 0)
			close(fd);
		lua_pushnil(L);
		lua_pushfstring(L, "%s: %s", path, strerrordesc_np(err));
		lua_pushinteger(L, err);
		return 3;
	}
	stream->closef = close_stream;
	return 1;
}

/* status(file) → its inode, and text that tells this file in this state from any other. */
static int posix_status(lua_State *L)
{
	const luaL_Stream *stream = luaL_checkudata(L, 1, LUA_FILEHANDLE);
	struct stat st;
	char text[160];

	if (!stream->closef)
		return luaL_argerror(L, 1, "the file is closed");
	if (fstat(fileno(stream->f), &st))
		return lbpf_err_push(L, errno, NULL, "status");
	snprintf(text, sizeof(text), "%llx %llx %llx %lld.%ld %lld.%ld", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino, (unsigned long long)st.st_size, (long long)st.st_mtim.tv_sec,
		 st.st_mtim.tv_nsec, (long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
	lua_pushinteger(L, (lua_Integer)st.st_ino);
	lua_pushstring(L, text);
	return 2;
}

void lbpf_procfile_open(lua_State *L)
{
	lua_getfield(L, -1, "posix");
	lua_pushcfunction(L, posix_open_regular);
	lua_setfield(L, -2, "open_regular");
	lua_pushcfunction(L, posix_status);
	lua_setfield(L, -2, "status");
	lua_pop(L, 1);
}
