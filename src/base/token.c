/* SPDX-License-Identifier: MIT */
/* BPF tokens.
 *
 * Somebody who has the capabilities outside of a user namespace can mount a bpffs for that namespace. The bpffs can
 * delegate commands of bpf(2), map types and program types. A token is a descriptor that represents this right. A call
 * with a token needs capabilities only in the user namespace.
 *
 * The calls with a token are made here, not by libbpf. It supports tokens only since 1.5, and leaves out a map's name
 * if it can't find out without a token whether the kernel supports names. */
#define _GNU_SOURCE
#include "base/token.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/bpf.h>
#include <linux/magic.h>

#include "base/arg.h"
#include "base/cause.h"
#include "base/err.h"
#include "base/syscall.h"

/* ---- bpf(2), with what Linux 6.9 added ---- */

#define TOKEN_CREATE 36	    /* BPF_TOKEN_CREATE */
#define TOKEN_FD (1U << 16) /* BPF_F_TOKEN_FD: the attribute has the token's descriptor */

struct token_attr {
	uint32_t flags, bpffs_fd;
};

struct btf_attr {
	uint64_t btf, log_buf;
	uint32_t btf_size, log_size, log_level, log_true_size, flags;
	int32_t token_fd;
};

struct map_attr {
	uint32_t type, key_size, value_size, max_entries, flags, inner_map_fd, numa_node;
	char name[BPF_OBJ_NAME_LEN];
	uint32_t ifindex, btf_fd, btf_key_type_id, btf_value_type_id, btf_vmlinux_value_type_id;
	uint64_t extra;
	int32_t value_type_btf_obj_fd, token_fd;
};

static_assert(offsetof(struct map_attr, extra) == offsetof(union bpf_attr, map_extra), "as the kernel's");
static_assert(sizeof(struct map_attr) == offsetof(union bpf_attr, map_extra) + 16, "as the kernel's");
static_assert(sizeof(struct btf_attr) == 40, "as the kernel's");

/* Returns a descriptor above 2, or a negative errno. Some fields of bpf(2) take 0 as no descriptor, and programs may
 * redirect the standard descriptors. */
static int call(enum bpf_cmd cmd, void *attr, size_t size)
{
	long fd = lbpf_sys_bpf(cmd, attr, size);
	int above;

	if (fd < 0 || fd > STDERR_FILENO)
		return (int)fd;
	above = fcntl((int)fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	above = above < 0 ? -errno : above;
	close((int)fd);
	return above;
}

static int create_token(int bpffs)
{
	struct token_attr attr = { .bpffs_fd = (uint32_t)bpffs };

	return call((enum bpf_cmd)TOKEN_CREATE, &attr, sizeof(attr));
}

int lbpf_token_load_btf(const struct lbpf_holder *token, const void *data, uint32_t size)
{
	struct btf_attr attr = {
		.btf = (uintptr_t)data,
		.btf_size = size,
		.flags = TOKEN_FD,
		.token_fd = token->fd,
	};

	return call(BPF_BTF_LOAD, &attr, sizeof(attr));
}

int lbpf_token_create_map(const struct lbpf_holder *token, uint32_t type, const char *name, uint32_t key_size,
			  uint32_t value_size, uint32_t max_entries, const struct bpf_map_create_opts *opts)
{
	struct map_attr attr = {
		.type = type,
		.key_size = key_size,
		.value_size = value_size,
		.max_entries = max_entries,
		.flags = opts->map_flags | TOKEN_FD,
		.inner_map_fd = opts->inner_map_fd,
		.numa_node = opts->numa_node,
		.ifindex = opts->map_ifindex,
		.btf_fd = opts->btf_fd,
		.btf_key_type_id = opts->btf_key_type_id,
		.btf_value_type_id = opts->btf_value_type_id,
		.extra = opts->map_extra,
		.token_fd = token->fd,
	};

	memcpy(attr.name, name, strnlen(name, sizeof(attr.name) - 1));
	return call(BPF_MAP_CREATE, &attr, sizeof(attr));
}

/* ---- making one ---- */

#define CAP_BPF_NUMBER 39

/* What the kernel's errno must mean, in words; NULL if the errno says enough. */
static const char *create_cause(int err, int bpffs)
{
	int without = -create_token(-1); /* the result is EBADF if the kernel has the command */
	struct statfs fs;

	if (without == EINVAL)
		return "BPF tokens need Linux 6.9";
	if (without == EPERM || without == EACCES)
		return "bpf(2) is refused whatever the bpffs delegates: BPF tokens need Linux 6.9, and no seccomp "
		       "filter or security module that forbids it";
	switch (err) {
	case EINVAL:
		if (fstatfs(bpffs, &fs) || fs.f_type != BPF_FS_MAGIC)
			return "it is no bpffs (mount -t bpf)";
		return "it is a folder of a bpffs, not its root";
	case ENOENT:
		return "this bpffs delegates nothing: its mount options delegate_cmds, delegate_maps, delegate_progs "
		       "and delegate_attachs do";
	case EOPNOTSUPP:
		return "this process is in the initial user namespace, which needs capabilities and no token";
	case EPERM:
		if (lbpf_effective() >> CAP_BPF_NUMBER & 1)
			return "this bpffs belongs to another user namespace: the token's has to have mounted it";
		return "CAP_BPF is missing in this user namespace";
	default:
		return NULL;
	}
}

int lbpf_token_make(lua_State *L, const char *path, int *fd)
{
	int bpffs = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = errno;
	const char *cause = NULL;

	*fd = -1;
	if (bpffs >= 0) {
		*fd = create_token(bpffs);
		err = *fd < 0 ? -*fd : 0;
		cause = err ? create_cause(err, bpffs) : NULL;
		close(bpffs);
	}
	if (err)
		lua_pushstring(L, cause);
	return err;
}

/* ---- the handle ---- */

void lbpf_token_check_open(lua_State *L, const struct lbpf_holder *token)
{
	if (token->fd < 0)
		luaL_error(L, "the token is closed");
}

/*** Opens a BPF token, by which a container without capabilities outside creates maps: option `token` of
`bpf.map.create`. A token stands for what a bpffs delegates to the user namespace of this process. Objects create their
own token, from option `token_path` of `bpf.open`. Inside the user namespace, the process needs CAP_BPF, and for some
types CAP_PERFMON or CAP_NET_ADMIN.
@function bpf.token
@tparam string path where the bpffs is mounted
@treturn bpf.token the token
@treturn nil,string,string on failure: EINVAL (the kernel is older than 6.9; this is no bpffs, or not its root), ENOENT
 (nothing is delegated, or there is no such folder), EPERM (the bpffs belongs to another user namespace; no CAP_BPF in
 this one), EOPNOTSUPP (in the initial user namespace), …
@usage not run: a bpffs has to delegate to the user namespace
local token <close> = assert(bpf.token "/sys/fs/bpf")
local hits <close> = assert(bpf.map.create {
  type = "hash", max_entries = 1024, key = "__u32", value = "__u64", token = token,
})
@see bpf_token_create
@since kernel 6.9 */
static int token_new(lua_State *L)
{
	const char *path = lbpf_arg_string(L, 1);
	struct lbpf_holder *token = lbpf_class_new(L, &lbpf_token_class, sizeof(*token), 0);
	int fd, err = lbpf_token_make(L, path, &fd);

	token->fd = fd;
	if (err)
		return lbpf_err_push(L, err, lua_tostring(L, -1), "token '%s'", path);
	return 1;
}

/*** Returns the token's descriptor, for C code or another process. The token still owns it.
@function token:fd
@treturn integer the descriptor
@usage not run: a bpffs has to delegate to the user namespace
local token <close> = assert(bpf.token "/sys/fs/bpf")
print(token:fd()) */
static int token_fd(lua_State *L)
{
	struct lbpf_holder *token = lbpf_class_check(L, 1, &lbpf_token_class);

	lbpf_token_check_open(L, token);
	lua_pushinteger(L, token->fd);
	return 1;
}

/*** Closes the token; closing twice is fine. What was created with it stays.
@function token:close
@treturn true
@usage not run: a bpffs has to delegate to the user namespace
local token = assert(bpf.token "/sys/fs/bpf")
token:close() */
static int token_close(lua_State *L)
{
	return lbpf_class_close(L, &lbpf_token_class);
}

static int token_tostring(lua_State *L)
{
	struct lbpf_holder *token = lbpf_class_check(L, 1, &lbpf_token_class);

	if (token->fd < 0)
		lua_pushliteral(L, "bpf.token: (closed)");
	else
		lua_pushfstring(L, "bpf.token: (fd %d)", token->fd);
	return 1;
}

static const luaL_Reg token_methods[] = {
	{ "fd", token_fd },
	{ "close", token_close },
	{ NULL, NULL },
};

static const luaL_Reg token_meta[] = {
	{ "__tostring", token_tostring },
	{ NULL, NULL },
};

const struct lbpf_class lbpf_token_class = {
	.name = "bpf.token",
	.descriptors = 4,
	.methods = token_methods,
	.meta = token_meta,
	.init = lbpf_holder_init,
	.release = lbpf_holder_release,
};

void lbpf_token_open(lua_State *L)
{
	lbpf_class_register(L, &lbpf_token_class);
	lua_pushcfunction(L, token_new);
	lua_setfield(L, -2, "token");
}
