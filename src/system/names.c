/* SPDX-License-Identifier: MIT */
/* Names for numbers that programs get: paths of cgroups, and names of network interfaces. */
#define _GNU_SOURCE
#include "system/names.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mntent.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>

#include "base/arg.h"
#include "base/cause.h"
#include "base/err.h"
#include "base/spare.h"

#define KERNFS_HANDLE 0xfe /* FILEID_KERNFS: the handle is the id and nothing else */

/* Where the cgroup2 hierarchy is mounted. Returns 0 or an errno. */
static int find_cgroup2(char *path, size_t size)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	char line[PATH_MAX + 512];
	struct mntent entry;
	int err = ENOENT;

	if (!mounts)
		return errno;
	while (err == ENOENT && getmntent_r(mounts, &entry, line, sizeof(line)))
		if (!strcmp(entry.mnt_type, "cgroup2"))
			err = snprintf(path, size, "%s", entry.mnt_dir) < (int)size ? 0 : ENOENT;
	endmntent(mounts);
	return err;
}

/* Opens the cgroup of a hierarchy by its id. Returns a descriptor, or -1 with errno. */
static int open_cgroup(const char *root, uint64_t id)
{
	union {
		struct file_handle handle;
		char room[sizeof(struct file_handle) + sizeof(uint64_t)];
	} u = { .handle = { .handle_bytes = sizeof(id), .handle_type = KERNFS_HANDLE } };
	int mount = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd, err;

	if (mount < 0)
		return -1;
	memcpy(u.room + offsetof(struct file_handle, f_handle), &id, sizeof(id));
	fd = open_by_handle_at(mount, &u.handle, O_PATH | O_CLOEXEC);
	err = errno;
	close(mount);
	errno = err;
	return fd;
}

/* Reads the path of the file that fd refers to. Returns its length, or -1 with errno. */
static ssize_t path_of(int fd, char *path, size_t size)
{
	char name[64];

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	return readlink(name, path, size);
}

/***
Returns the path of a cgroup of version 2 by its id, which programs get from `bpf_get_current_cgroup_id`.
@function bpf.cgroup_path
@tparam integer id
@treturn string the path from the hierarchy's root: "/system.slice/ssh.service", "/" for the root itself; one nil if
 there is no such cgroup, or no longer
@treturn nil,string,string on failure: EPERM (no CAP_DAC_READ_SEARCH), ENOENT (no cgroup2 is mounted)
@usage
print(bpf.cgroup_path(1)) -- /, the root of the hierarchy
@see open_by_handle_at(2)
@since kernel 5.5
*/
static int l_cgroup_path(lua_State *L)
{
	uint64_t id = (uint64_t)lbpf_arg_int(L, 1, INT64_MIN, INT64_MAX);
	char root[PATH_MAX], path[PATH_MAX];
	int err = lbpf_spare(L, 2), fd;
	size_t prefix;
	ssize_t n;

	if (!err)
		err = find_cgroup2(root, sizeof(root));
	if (err)
		return lbpf_err_push(L, err,
				     err != ENOENT	      ? NULL
					     : lbpf_no_proc() ? lbpf_no_proc()
							      : "no cgroup2 is mounted",
				     "cgroup_path");
	fd = open_cgroup(root, id);
	if (fd < 0 && errno == ESTALE) {
		lua_pushnil(L);
		return 1;
	} else if (fd < 0) {
		err = errno;
		return lbpf_err_push(L, err, err == EPERM ? "it takes CAP_DAC_READ_SEARCH" : NULL, "cgroup_path");
	}
	n = path_of(fd, path, sizeof(path));
	err = errno;
	close(fd);
	if (n < 0)
		return lbpf_err_push(L, err, NULL, "cgroup_path");
	prefix = strlen(root);
	/* Mounted on "/", or not below the mount: then the whole path is the most precise. */
	if (prefix == 1 || (size_t)n < prefix || memcmp(path, root, prefix) != 0)
		prefix = 0;
	if ((size_t)n == prefix)
		lua_pushliteral(L, "/");
	else
		lua_pushlstring(L, path + prefix, (size_t)n - prefix);
	return 1;
}

/***
Returns the name of a network interface by its index, in this process's network namespace.
@function bpf.interface_name
@tparam integer ifindex
@treturn string the name, or one nil if there is no such interface
@treturn nil,string,string on failure: EMFILE, ENFILE
@usage
print(bpf.interface_name(1)) -- lo
@see if_indextoname(3)
*/
static int l_interface_name(lua_State *L)
{
	unsigned int index = (unsigned int)lbpf_arg_int(L, 1, 0, UINT32_MAX);
	int err = lbpf_spare(L, 1);
	char name[IF_NAMESIZE];

	if (!err && !if_indextoname(index, name))
		err = errno;
	if (err && err != ENXIO)
		return lbpf_err_push(L, err, NULL, "interface_name");
	lua_pushstring(L, err ? NULL : name);
	return 1;
}

void lbpf_names_open(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "cgroup_path", l_cgroup_path },
		{ "interface_name", l_interface_name },
		{ NULL, NULL },
	};

	luaL_setfuncs(L, functions, 0);
}
