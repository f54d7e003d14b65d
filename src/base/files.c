/* SPDX-License-Identifier: MIT */
/* Functions for our own Lua modules, in the table of base/posix: digests and identities of files, and private ones.
 *
 * A private folder belongs to the effective user, who alone may write there, and so do all folders above it: each of
 * them is root's or the user's, and others may write there only if it is sticky, like /tmp. Nobody else can put
 * anything into its place between two system calls, so its files may be named by their paths. A private file in it is
 * opened first and looked at then: it may be older than the folder's mode. */
#define _GNU_SOURCE
#include "base/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <lauxlib.h>

#include "base/digest.h"
#include "base/draft.h"
#include "base/err.h"

static lua_Integer nanoseconds(struct timespec t)
{
	return (lua_Integer)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- what files are ---- */

/* file_clock() → nanoseconds of the clock by which the kernel stamps files; it moves every few milliseconds. */
static int files_clock(lua_State *L)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	lua_pushinteger(L, nanoseconds(now));
	return 1;
}

/* digest(text) → 64 hexadecimal digits. */
static int files_digest(lua_State *L)
{
	char hex[LBPF_DIGEST_HEX];
	struct lbpf_digest digest;
	size_t size;
	const char *text = luaL_checklstring(L, 1, &size);

	lbpf_digest_begin(&digest);
	lbpf_digest_add(&digest, text, size);
	lbpf_digest_end(&digest, hex);
	lua_pushstring(L, hex);
	return 1;
}

/* Opens a regular file for reading, without waiting for a writer of a pipe. Returns a descriptor, or -1 with errno. */
static int open_regular(const char *path, int flags, struct stat *st)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags), err = 0;

	if (fd < 0)
		return -1;
	if (fstat(fd, st))
		err = errno;
	else if (!S_ISREG(st->st_mode))
		err = S_ISDIR(st->st_mode) ? EISDIR : EINVAL;
	if (!err)
		return fd;
	close(fd);
	errno = err;
	return -1;
}

/* When what is at a path last changed, by the clock of files_clock: the file, or a symbolic link to it. */
static lua_Integer changed_at(const char *path, const struct stat *st)
{
	lua_Integer file = nanoseconds(st->st_ctim), link;
	struct stat here;

	link = lstat(path, &here) ? file : nanoseconds(here.st_ctim);
	return link > file ? link : file;
}

/* file_digest(path) → 64 hexadecimal digits of a regular file's contents, and when it last changed, by file_clock; or
 * nil, message, code. */
static int files_file_digest(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	char hex[LBPF_DIGEST_HEX], piece[16384];
	struct lbpf_digest digest;
	struct stat st;
	ssize_t n;
	int fd = open_regular(path, 0, &st), err;

	if (fd < 0)
		return lbpf_err_push(L, errno, NULL, "%s", path);
	lbpf_digest_begin(&digest);
	do {
		n = read(fd, piece, sizeof(piece));
		if (n > 0)
			lbpf_digest_add(&digest, piece, (size_t)n);
	} while (n > 0 || (n < 0 && errno == EINTR));
	err = n < 0 ? errno : fstat(fd, &st) ? errno : 0;
	close(fd);
	if (err)
		return lbpf_err_push(L, err, NULL, "%s", path);
	lbpf_digest_end(&digest, hex);
	lua_pushstring(L, hex);
	lua_pushinteger(L, changed_at(path, &st));
	return 2;
}

/* is_file(path) → false, or true and when it last changed, by file_clock, if there is anything but a directory. */
static int files_is_file(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	struct stat st;

	if (stat(path, &st) || S_ISDIR(st.st_mode)) {
		lua_pushboolean(L, 0);
		return 1;
	}
	lua_pushboolean(L, 1);
	lua_pushinteger(L, changed_at(path, &st));
	return 2;
}

/* resolve(path) → the path without symbolic links; or nil, message, code. */
static int files_resolve(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	char resolved[PATH_MAX];

	if (!realpath(path, resolved))
		return lbpf_err_push(L, errno, NULL, "%s", path);
	lua_pushstring(L, resolved);
	return 1;
}

/* identity(path) → text that tells this file from others and from what it was before it was replaced or changed,
 * without reading it; or nil, message, code. */
static int files_identity(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	char resolved[PATH_MAX];
	struct stat st;

	if (!realpath(path, resolved) || stat(resolved, &st))
		return lbpf_err_push(L, errno, NULL, "%s", path);
	lua_pushfstring(L, "%s %I %I %I", resolved, (LUAI_UACINT)st.st_ino, (LUAI_UACINT)st.st_size,
			(LUAI_UACINT)nanoseconds(st.st_mtim));
	return 1;
}

/* executable(name) → the path of a program, as a shell finds it; or nil. */
static int files_executable(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1), *list = getenv("PATH");
	char path[PATH_MAX];
	struct stat st;

	for (const char *dir = list ? list : "/bin:/usr/bin"; dir;) {
		int size = (int)strcspn(dir, ":"), n;

		n = snprintf(path, sizeof(path), "%.*s/%s", size ? size : 1, size ? dir : ".", name);
		dir = dir[size] ? dir + size + 1 : NULL;
		if (n < (int)sizeof(path) && !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK)) {
			lua_pushstring(L, path);
			return 1;
		}
	}
	return 0;
}

struct listing { /* a full userdata, which closes the stream if an error comes */
	DIR *dir;
};

static int listing_close(lua_State *L)
{
	struct listing *listing = lua_touserdata(L, 1);

	if (listing->dir)
		closedir(listing->dir);
	listing->dir = NULL;
	return 0;
}

/* entries(path) → the names in a directory, in no order, without "." and ".."; or nil, message, code. */
static int files_entries(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	struct listing *listing = lua_newuserdatauv(L, sizeof(*listing), 0);
	const struct dirent *entry;
	lua_Integer n = 0;

	listing->dir = NULL;
	lua_createtable(L, 0, 2);
	lua_pushcfunction(L, listing_close);
	lua_setfield(L, -2, "__gc");
	lua_pushcfunction(L, listing_close);
	lua_setfield(L, -2, "__close");
	lua_setmetatable(L, -2);
	lua_toclose(L, -1);
	lua_newtable(L);
	listing->dir = opendir(path);
	if (!listing->dir)
		return lbpf_err_push(L, errno, NULL, "%s", path);
	while ((entry = readdir(listing->dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
			lua_pushstring(L, entry->d_name);
			lua_rawseti(L, -2, ++n);
		}
	return 1;
}

/* file_status(path) → "file", "directory" or "other", whether it is this user's, its size, and when it was written or
 * used, in nanoseconds; or nil, message, code. A symbolic link is "other". */
static int files_file_status(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	struct stat st;

	if (lstat(path, &st))
		return lbpf_err_push(L, errno, NULL, "%s", path);
	lua_pushstring(L, S_ISREG(st.st_mode) ? "file" : S_ISDIR(st.st_mode) ? "directory" : "other");
	lua_pushboolean(L, st.st_uid == geteuid());
	lua_pushinteger(L, st.st_size);
	lua_pushinteger(L, nanoseconds(st.st_mtim));
	return 4;
}

/* ---- private ones ---- */

static bool is_private(const struct stat *st)
{
	return st->st_uid == geteuid() && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

static bool is_guarded_folder(const char *path)
{
	struct stat st;

	return !lstat(path, &st) && S_ISDIR(st.st_mode) && (!st.st_uid || st.st_uid == geteuid()) &&
		(!(st.st_mode & (S_IWGRP | S_IWOTH)) || st.st_mode & S_ISVTX);
}

/* Whether nobody but root and this user can replace what is at the resolved path, or at one of those above it. */
static bool is_guarded(const char *path)
{
	char above[PATH_MAX];
	size_t end = 0;

	if (!is_guarded_folder("/"))
		return false;
	do {
		end += 1 + strcspn(path + end + 1, "/");
		memcpy(above, path, end);
		above[end] = 0;
		if (!is_guarded_folder(above))
			return false;
	} while (path[end]);
	return true;
}

/* private_folder(base, name, ...) → the resolved path of base/name/…, which is made if it isn't there, except base; or
 * nothing if it isn't private or can't be made. */
static int files_private_folder(lua_State *L)
{
	char path[PATH_MAX], below[PATH_MAX];
	int last = lua_gettop(L);
	struct stat st;

	if (!realpath(luaL_checkstring(L, 1), path) || !is_guarded(path))
		return 0;
	for (int i = 2; i <= last; i++) {
		if (snprintf(below, sizeof(below), "%s/%s", path, luaL_checkstring(L, i)) >= (int)sizeof(below))
			return 0;
		if (mkdir(below, S_IRWXU) && errno != EEXIST)
			return 0;
		if (i == last && (lstat(below, &st) || !S_ISDIR(st.st_mode)))
			return 0;
		if (!realpath(below, path) || !is_guarded(path))
			return 0;
	}
	if (lstat(path, &st) || !is_private(&st))
		return 0;
	lua_pushstring(L, path);
	return 1;
}

/* read_private(path) → the contents of a regular file of a private folder; or nil, message, code: EPERM if others may
 * have written it. */
static int files_read_private(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	luaL_Buffer buffer;
	struct stat st;
	size_t size, done = 0;
	int fd, err = 0;
	ssize_t n;
	char *text;

	if (lstat(path, &st))
		return lbpf_err_push(L, errno, NULL, "%s", path);
	size = (size_t)st.st_size;
	text = luaL_buffinitsize(L, &buffer, size + 1);
	fd = open_regular(path, O_NOFOLLOW, &st);
	if (fd < 0)
		return lbpf_err_push(L, errno, NULL, "%s", path);
	if (!is_private(&st))
		err = EPERM;
	while (!err && done < size && (n = read(fd, text + done, size - done)) != 0) {
		if (n > 0)
			done += (size_t)n;
		else if (errno != EINTR)
			err = errno;
	}
	close(fd);
	if (err)
		return lbpf_err_push(L, err, NULL, "%s", path);
	luaL_pushresultsize(&buffer, done);
	return 1;
}

/* write_private(path, text) → true, or nil, message, code: as write_file, and only this user may read it. */
static int files_write_private(lua_State *L)
{
	size_t size;
	const char *path = luaL_checkstring(L, 1), *text = luaL_checklstring(L, 2, &size);
	int err = lbpf_draft_write_private(path, text, size);

	if (err)
		return lbpf_err_push(L, err, NULL, "%s", path);
	lua_pushboolean(L, 1);
	return 1;
}

/* touch(path): sets the time at which the file was written or used to now. */
static int files_touch(lua_State *L)
{
	utimensat(AT_FDCWD, luaL_checkstring(L, 1), NULL, AT_SYMLINK_NOFOLLOW);
	return 0;
}

void lbpf_files_open(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "digest", files_digest },
		{ "entries", files_entries },
		{ "executable", files_executable },
		{ "file_clock", files_clock },
		{ "file_digest", files_file_digest },
		{ "identity", files_identity },
		{ "is_file", files_is_file },
		{ "private_folder", files_private_folder },
		{ "read_private", files_read_private },
		{ "resolve", files_resolve },
		{ "file_status", files_file_status },
		{ "touch", files_touch },
		{ "write_private", files_write_private },
		{ NULL, NULL },
	};

	luaL_setfuncs(L, functions, 0);
}
