/* SPDX-License-Identifier: MIT */
/* What is attached to interfaces, network namespaces, cgroups and maps of sockets, with or without a link. The
 * functions here ask the kernel one question each; lua/bpf/attached.lua puts the answers together. Between two calls no
 * descriptor is open, and lists are read into memory of Lua before any table is made. */
#define _GNU_SOURCE
#include "system/attached.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include <lauxlib.h>

#include "base/arg.h"
#include "base/cause.h"
#include "base/err.h"
#include "base/log.h"
#include "base/netlink.h"
#include "base/spare.h"
#include "base/syscall.h"
#include "program/qdisc.h"

static int fail(lua_State *L, int err, const char *what)
{
	return lbpf_err_push(L, err, err == EPERM ? lbpf_refused(L, "CAP_NET_ADMIN") : NULL, "attached: %s", what);
}

/* ---- lists by rtnetlink ---- */

struct interface {
	int ifindex;
	uint32_t native, skb, offload; /* ids of XDP programs */
	char name[IF_NAMESIZE];
};

static bool read_interface(const struct nlmsghdr *message, void *row)
{
	struct lbpf_attributes in = lbpf_netlink_attributes(message, sizeof(struct ifinfomsg)),
			       xdp = lbpf_netlink_find(in, IFLA_XDP);
	struct interface *out = row;
	struct ifinfomsg info;

	if (message->nlmsg_type != RTM_NEWLINK || !in.at)
		return false;
	if (!out)
		return true;
	memcpy(&info, message + 1, sizeof(info));
	out->ifindex = info.ifi_index;
	out->native = lbpf_netlink_u32(xdp, IFLA_XDP_DRV_PROG_ID);
	out->skb = lbpf_netlink_u32(xdp, IFLA_XDP_SKB_PROG_ID);
	out->offload = lbpf_netlink_u32(xdp, IFLA_XDP_HW_PROG_ID);
	lbpf_netlink_text(in, IFLA_IFNAME, out->name, sizeof(out->name));
	return true;
}

/* Arguments of a list. */
struct place {
	int ifindex;
	uint32_t parent;
};

static int list_interfaces(const struct place *at, struct lbpf_rows *rows)
{
	const struct {
		struct nlmsghdr head;
		struct ifinfomsg info;
	} ask = {
		.head = { .nlmsg_len = sizeof(ask),
			  .nlmsg_type = RTM_GETLINK,
			  .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.info = { .ifi_family = AF_UNSPEC },
	};

	(void)at;
	rows->read = read_interface;
	return lbpf_netlink_ask(&ask.head, rows);
}

static int list_qdiscs(const struct place *at, struct lbpf_rows *rows)
{
	return at->ifindex ? lbpf_qdisc_classes(at->ifindex, rows) : lbpf_qdisc_list(rows);
}

static int list_filters(const struct place *at, struct lbpf_rows *rows)
{
	return lbpf_qdisc_filters(at->ifindex, at->parent, rows);
}

/* Sets a field of the table at the top, unless the number is 0. */
static void set_some(lua_State *L, const char *key, uint32_t value)
{
	if (value)
		lbpf_set_integer(L, key, value);
}

static void push_interface(lua_State *L, const void *row)
{
	const struct interface *it = row;

	lua_createtable(L, 0, 5);
	lbpf_set_integer(L, "ifindex", it->ifindex);
	lbpf_set_string(L, "interface", it->name);
	set_some(L, "native", it->native);
	set_some(L, "skb", it->skb);
	set_some(L, "offload", it->offload);
}

static void push_qdisc(lua_State *L, const void *row)
{
	const struct lbpf_qdisc *it = row;

	lua_createtable(L, 0, 3);
	lbpf_set_integer(L, "ifindex", it->ifindex);
	lbpf_set_integer(L, "handle", it->handle);
	lbpf_set_string(L, "kind", it->kind);
}

static void push_filter(lua_State *L, const void *row)
{
	const struct lbpf_filter *it = row;

	lua_createtable(L, 0, 16);
	set_some(L, "block", it->block);
	lbpf_set_integer(L, "parent", it->parent);
	lbpf_set_integer(L, "handle", it->handle);
	lbpf_set_integer(L, "priority", it->priority);
	lbpf_set_integer(L, "protocol", ntohs(it->protocol));
	lbpf_set_integer(L, "chain", it->chain);
	lbpf_set_integer(L, "prog_id", it->prog_id);
	lbpf_set_string(L, "name", it->name);
	lua_pushboolean(L, it->direct_action);
	lua_setfield(L, -2, "direct_action");
}

/* Reads a list into memory at the top of the stack, which grows until the list fits. Returns 0 or an errno. */
static int read_rows(lua_State *L, int (*list)(const struct place *, struct lbpf_rows *), const struct place *at,
		     struct lbpf_rows *rows)
{
	int err = lbpf_spare(L, 1);

	rows->room = 32;
	lua_pushnil(L);
	for (;;) {
		lua_pop(L, 1);
		rows->at = lua_newuserdatauv(L, rows->room * rows->size, 0);
		if (!err)
			err = list(at, rows);
		if (err || rows->count <= rows->room)
			return err;
		rows->room = rows->count + 32;
	}
}

static int push_list(lua_State *L, const char *what, size_t size, int (*list)(const struct place *, struct lbpf_rows *),
		     const struct place *at, void (*push)(lua_State *L, const void *row))
{
	struct lbpf_rows rows = { .size = size };
	int err = read_rows(L, list, at, &rows);

	if (err)
		return fail(L, err, what);
	lua_createtable(L, 0, 0);
	for (size_t i = 0; i < rows.count; i++) {
		push(L, (const char *)rows.at + i * rows.size);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

/* interfaces() → a sequence of { ifindex, interface, native, skb, offload }: the last three are ids of XDP programs. */
static int attached_interfaces(lua_State *L)
{
	struct place at = { 0, 0 };

	return push_list(L, "interfaces", sizeof(struct interface), list_interfaces, &at, push_interface);
}

/* qdiscs() → a sequence of the queueing disciplines of all interfaces. qdiscs(ifindex) → the classes of an interface.
 */
static int attached_qdiscs(lua_State *L)
{
	struct place at = { lua_isnoneornil(L, 1) ? 0 : (int)luaL_checkinteger(L, 1), 0 };

	return push_list(L, "queueing disciplines", sizeof(struct lbpf_qdisc), list_qdiscs, &at, push_qdisc);
}

/* filters(ifindex, parent) → a sequence of the filters that run programs. */
static int attached_filters(lua_State *L)
{
	struct place at = { (int)luaL_checkinteger(L, 1), (uint32_t)luaL_checkinteger(L, 2) };

	return push_list(L, "filters", sizeof(struct lbpf_filter), list_filters, &at, push_filter);
}

/* ---- lists by bpf(2) ---- */

/* Opens what argument idx names: a path, or a number, which may be a descriptor or the index of an interface, and is
 * taken as it is. Returns 0 or an errno. */
static int open_target(lua_State *L, int idx, int *target, bool *opened)
{
	*opened = lua_type(L, idx) == LUA_TSTRING;
	*target = *opened ? open(lua_tostring(L, idx), O_RDONLY | O_CLOEXEC) : (int)luaL_checkinteger(L, idx);
	return *target < 0 ? errno : 0;
}

#define PROGRAMS 1024 /* more than the kernel attaches in one place: 64 to cgroups and lists */

/* programs(target, attach_type) → a sequence of ids, and the flags of a cgroup. */
static int attached_programs(lua_State *L)
{
	uint32_t type = (uint32_t)luaL_checkinteger(L, 2), ids[PROGRAMS] = { 0 };
	int target, err = lbpf_spare(L, 1);
	union bpf_attr attr;
	bool opened = false;

	if (!err)
		err = open_target(L, 1, &target, &opened);
	if (err)
		return fail(L, err, lua_tostring(L, 1));
	memset(&attr, 0, sizeof(attr));
	attr.query.target_fd = (uint32_t)target;
	attr.query.attach_type = type;
	attr.query.prog_ids = (uintptr_t)ids;
	attr.query.prog_cnt = PROGRAMS;
	err = (int)-lbpf_sys_bpf(BPF_PROG_QUERY, &attr,
				 offsetof(union bpf_attr, query.prog_cnt) + sizeof(attr.query.prog_cnt));
	if (opened)
		close(target);
	if (err)
		return fail(L, err, "programs");
	lua_createtable(L, (int)attr.query.prog_cnt, 0);
	for (uint32_t i = 0; i < attr.query.prog_cnt && i < PROGRAMS; i++) {
		lua_pushinteger(L, ids[i]);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	lua_pushinteger(L, attr.query.attach_flags);
	return 2;
}

/* ---- files ---- */

struct entry { /* the kernel's struct linux_dirent64 */
	uint64_t inode;
	int64_t next;
	uint16_t length;
	uint8_t type;
	char name[];
};

/* Reads some entries of a directory, from a position on. Returns how many bytes, or a negative errno. */
static long read_entries(const char *path, int64_t position, char *into, size_t size)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	long n;

	if (fd < 0)
		return -errno;
	n = lseek(fd, position, SEEK_SET) < 0 ? -1 : syscall(SYS_getdents64, fd, into, size);
	n = n < 0 ? -errno : n;
	close(fd);
	return n;
}

/* folders(path) → a sequence of the names of directories. */
static int attached_folders(lua_State *L)
{
	const char *path = lbpf_arg_string(L, 1);
	_Alignas(struct entry) char some[16384] = { 0 };
	lua_Integer count = 0;
	int64_t position = 0;
	int err = lbpf_spare(L, 1);
	long n = err ? -err : 1;

	lua_createtable(L, 0, 0);
	while (n > 0) {
		n = read_entries(path, position, some, sizeof(some));
		for (long at = 0; at < n;) {
			const struct entry *it = (const void *)(some + at);

			at += it->length;
			position = it->next;
			if (it->type != 4 /* DT_DIR */ || !strcmp(it->name, ".") || !strcmp(it->name, ".."))
				continue;
			lua_pushstring(L, it->name);
			lua_rawseti(L, -2, ++count);
		}
	}
	return n < 0 ? fail(L, (int)-n, path) : 1;
}

/* inode(path) → its number, which is the id of a cgroup or network namespace. */
static int attached_inode(lua_State *L)
{
	const char *path = lbpf_arg_string(L, 1);
	struct stat about;

	if (stat(path, &about))
		return fail(L, errno, path);
	lua_pushinteger(L, (lua_Integer)about.st_ino);
	return 1;
}

/* ---- detaching ---- */

static int finish(lua_State *L, int err)
{
	if (err)
		return lbpf_err_push(L, err,
				     err == EPERM			      ? lbpf_refused(L, "CAP_SYS_ADMIN")
					     : err == ENOENT || err == EEXIST ? "it is no longer attached there"
									      : NULL,
				     "detach");
	lua_pushboolean(L, 1);
	return 1;
}

static const struct lbpf_name modes[] = {
	{ "skb", XDP_FLAGS_SKB_MODE },
	{ "native", XDP_FLAGS_DRV_MODE },
	{ "offload", XDP_FLAGS_HW_MODE },
	{ NULL, 0 },
};

/* detach_xdp(ifindex, mode, prog_id) → true: the kernel detaches this program only. */
static int attached_detach_xdp(lua_State *L)
{
	int ifindex = (int)luaL_checkinteger(L, 1);
	uint32_t id = (uint32_t)luaL_checkinteger(L, 3);
	int64_t mode = lbpf_name_value(modes, lbpf_arg_string(L, 2));
	LIBBPF_OPTS(bpf_xdp_attach_opts, opts);
	int err = lbpf_spare(L, 2), fd;
	struct lbpf_log *log;

	luaL_argcheck(L, mode > 0, 2, "unknown mode");
	if (err)
		return finish(L, err);
	log = lbpf_log_begin(L); /* libbpf prints the kernel's message */
	fd = bpf_prog_get_fd_by_id(id);
	err = fd < 0 ? errno : 0;
	opts.old_prog_fd = fd;
	if (!err)
		err = -bpf_xdp_detach(ifindex, (uint32_t)mode, &opts);
	if (fd >= 0)
		close(fd);
	lbpf_log_end(log);
	return finish(L, err);
}

static uint32_t field(lua_State *L, const char *name)
{
	uint32_t value;

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_getfield(L, 1, name);
	value = (uint32_t)lua_tointeger(L, -1);
	lua_pop(L, 1);
	return value;
}

/* Whether the filter still runs the program. */
static int check_filter(lua_State *L, const struct lbpf_filter *filter)
{
	struct place at = { filter->ifindex, filter->parent };
	struct lbpf_rows rows = { .size = sizeof(*filter) };
	int err = read_rows(L, list_filters, &at, &rows);
	const struct lbpf_filter *it = rows.at;

	for (size_t i = 0; !err && i < rows.count; i++)
		if (it[i].handle == filter->handle && it[i].priority == filter->priority &&
		    it[i].chain == filter->chain && it[i].protocol == filter->protocol)
			return it[i].prog_id == filter->prog_id ? 0 : EEXIST;
	return err ? err : ENOENT;
}

/* detach_tc(filter) → true. The table is one of `filters`, with the field `ifindex`. */
static int attached_detach_tc(lua_State *L)
{
	struct lbpf_filter filter = {
		.ifindex = (int)field(L, "ifindex"),
		.parent = field(L, "parent"),
		.handle = field(L, "handle"),
		.chain = field(L, "chain"),
		.prog_id = field(L, "prog_id"),
		.priority = (uint16_t)field(L, "priority"),
		.protocol = htons((uint16_t)field(L, "protocol")),
	};
	uint32_t block = field(L, "block");
	int err = check_filter(L, &filter);

	if (block) {
		filter.ifindex = 0;
		filter.block = block;
	}
	return finish(L, err ? err : lbpf_qdisc_remove(&filter));
}

/* detach(target, attach_type, prog_id) → true, for programs that were attached by bpf(2). */
static int attached_detach(lua_State *L)
{
	uint32_t type = (uint32_t)luaL_checkinteger(L, 2), id = (uint32_t)luaL_checkinteger(L, 3);
	int target, fd, err = lbpf_spare(L, 2);
	bool opened = false;

	if (!err)
		err = open_target(L, 1, &target, &opened);
	if (err)
		return finish(L, err);
	fd = bpf_prog_get_fd_by_id(id);
	err = fd < 0 ? errno : -bpf_prog_detach2(fd, target, (enum bpf_attach_type)type);
	if (fd >= 0)
		close(fd);
	if (opened)
		close(target);
	return finish(L, err);
}

void lbpf_attached_open(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "detach", attached_detach },	       { "detach_tc", attached_detach_tc },
		{ "detach_xdp", attached_detach_xdp }, { "filters", attached_filters },
		{ "folders", attached_folders },       { "inode", attached_inode },
		{ "interfaces", attached_interfaces }, { "programs", attached_programs },
		{ "qdiscs", attached_qdiscs },	       { NULL, NULL },
	};

	lua_getfield(L, -1, "posix");
	luaL_newlib(L, functions);
	lua_setfield(L, -2, "attached");
	lua_pop(L, 1);
}
