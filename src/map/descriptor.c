/* SPDX-License-Identifier: MIT */
/* Keys and values that are file descriptors. A script gives a descriptor, or an object or path for which one is opened.
 * The kernel gets the descriptor, and from then on refers to the thing itself. A descriptor that we opened is closed
 * after the call. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <lauxlib.h>

#include "base/class.h"
#include "base/spare.h"
#include "map/conv.h"
#include "map/descriptor.h"
#include "map/map.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#define PIDFD_OF_THREAD O_EXCL /* PIDFD_THREAD of kernel 6.9 */

static const struct lbpf_class descriptor_class = {
	.name = "bpf.descriptor",
	.init = lbpf_holder_init,
	.release = lbpf_holder_release,
};

int *lbpf_descriptor_push(lua_State *L)
{
	struct lbpf_holder *d;

	luaL_checkstack(L, 4, NULL);
	d = lbpf_class_new(L, &descriptor_class, sizeof(*d), 0);
	lua_toclose(L, -1);
	return &d->fd;
}

int lbpf_descriptor_path(lua_State *L, int idx, int flags, int *fd)
{
	const char *path;
	int err, *own;

	if (lua_type(L, idx) != LUA_TSTRING) {
		*fd = lbpf_descriptor_arg(L, idx);
		return 0;
	}
	if (!lbpf_arg_is_text(L, idx))
		luaL_error(L, "the path has a NUL byte in it");
	own = lbpf_descriptor_push(L);
	path = lua_tostring(L, idx);
	*own = open(path, flags | O_CLOEXEC);
	if (*own < 0 && lbpf_spare_again(L, 1))
		*own = open(path, flags | O_CLOEXEC);
	*fd = *own;
	if (*fd >= 0)
		return 0;
	err = errno == ENOTDIR ? ENOENT : errno;
	lua_pushfstring(L, "'%s': %s", path, strerror(err));
	return err;
}

/* Calls the getfd method of the argument and returns its results, or nothing if there is no such method. */
static int call_getfd(lua_State *L)
{
	if (lua_getfield(L, 1, "getfd") == LUA_TNIL)
		return 0;
	lua_insert(L, 1);
	lua_call(L, 1, 1);
	return 1;
}

/* The descriptor of the object at idx: an open file's, or what the getfd method returns; -1 if it has neither. */
static lua_Number descriptor_of_object(lua_State *L, int idx)
{
	luaL_Stream *file = luaL_testudata(L, idx, LUA_FILEHANDLE);
	int top = lua_gettop(L);
	lua_Number fd = -1;

	if (file)
		return file->closef ? fileno(file->f) : -1;
	luaL_checkstack(L, 4, NULL);
	if (!lbpf_class_test(L, idx, &lbpf_map_class)) {
		lua_pushcfunction(L, call_getfd);
		lua_pushvalue(L, idx);
		lbpf_call(L, 1, 1);
		fd = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;
	}
	lua_settop(L, top);
	return fd;
}

int lbpf_descriptor_arg(lua_State *L, int idx)
{
	int type = lua_type(L, idx);
	lua_Number fd = -1;

	if (type == LUA_TNUMBER)
		fd = lua_tonumber(L, idx);
	else if (type == LUA_TUSERDATA || type == LUA_TTABLE)
		fd = descriptor_of_object(L, idx);
	if (!(fd >= 0 && fd <= INT32_MAX) || fd != (lua_Number)(int)fd) /* LuaSocket's getfd gives a float */
		luaL_error(L, "a file descriptor expected (an integer, or an open object with getfd), got %s",
			   luaL_tolstring(L, idx, NULL));
	return (int)fd;
}

static void store(void *buf, uint32_t size, int fd)
{
	lbpf_store_int(size, buf, fd);
}

static int descriptor_encode(lua_State *L, const struct lbpf_map *map, int idx, void *buf)
{
	(void)map;
	store(buf, sizeof(int), lbpf_descriptor_arg(L, idx));
	return 0;
}

/* Values of maps of sockets have 4 or 8 bytes. From a value of 8 bytes the kernel returns the socket's cookie. */
static int socket_encode(lua_State *L, const struct lbpf_map *map, int idx, void *buf)
{
	store(buf, map->value_size, lbpf_descriptor_arg(L, idx));
	return 0;
}

static void socket_decode(lua_State *L, const struct lbpf_map *map, const void *buf, int into)
{
	(void)into;
	lua_pushinteger(L, lbpf_load_int(map->value_size == 8 ? LBPF_U64 : LBPF_U32, buf));
}

static int path_encode(lua_State *L, const struct lbpf_map *map, int idx, void *buf)
{
	/* With O_PATH, opening doesn't wait and needs no permission to read. */
	int fd, err = lbpf_descriptor_path(L, idx, O_PATH, &fd);

	(void)map;
	if (!err)
		store(buf, sizeof(int), fd);
	return err;
}

static int open_process(lua_Integer pid)
{
	int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);

	if (fd < 0 && (errno == EINVAL || errno == ENOENT)) /* the id of a thread */
		fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, PIDFD_OF_THREAD);
	/* Some kernels also return this for a task that has just ended and whose id isn't free yet. */
	if (fd < 0 && errno == EINVAL)
		errno = kill((pid_t)pid, 0) && errno == ESRCH ? ESRCH : EINVAL;
	return fd;
}

static int process_encode(lua_State *L, const struct lbpf_map *map, int idx, void *buf)
{
	int *own;
	lua_Integer pid;
	int is_int;

	pid = lua_tointegerx(L, idx, &is_int);
	if (lua_type(L, idx) != LUA_TNUMBER)
		return descriptor_encode(L, map, idx, buf);
	if (!is_int || pid <= 0 || pid > INT32_MAX)
		luaL_error(L, "key: a process id expected, got %s", luaL_tolstring(L, idx, NULL));
	own = lbpf_descriptor_push(L);
	*own = open_process(pid);
	if (*own < 0 && lbpf_spare_again(L, 1))
		*own = open_process(pid);
	if (*own < 0) {
		int err = errno == ESRCH ? ENOENT : errno;

		lua_pushfstring(L,
				err == ENOENT		? "there is no process %I"
					: err == EINVAL ? "%I is a thread, not a process: threads need Linux 6.9"
							: "process %I can't be opened",
				(LUAI_UACINT)pid);
		return err;
	}
	store(buf, sizeof(int), *own);
	return 0;
}

const struct lbpf_conv lbpf_conv_descriptor = { .encode = descriptor_encode, .decode = NULL };
const struct lbpf_conv lbpf_conv_socket = { .encode = socket_encode, .decode = socket_decode };
const struct lbpf_conv lbpf_conv_path = { .encode = path_encode, .decode = NULL };
const struct lbpf_conv lbpf_conv_process = { .encode = process_encode, .decode = NULL };

void lbpf_descriptor_open(lua_State *L)
{
	lbpf_class_register(L, &descriptor_class);
}
