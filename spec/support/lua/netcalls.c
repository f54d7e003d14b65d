/* SPDX-License-Identifier: MIT */
/* System calls that specs of network maps need and neither LuaSocket nor the module under test has.
 *
 *	local calls = require "support.netcalls"
 *	local back = calls.enter("/run/netns/x") ... calls.leave(back)	another network namespace, and the former one
 *	calls.setsockopt(fd, "no_check", 1)				options that LuaSocket doesn't know
 *	calls.cookie(fd)						SO_COOKIE
 *	calls.names(fd)							asks for its address and its peer's
 *	calls.index(name)						an interface's index
 *	calls.attach(prog fd, target fd or path, "sk_msg_verdict")	BPF_PROG_ATTACH, and calls.detach
 *
 * Descriptors are integers. What fails raises. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/bpf.h>

#include <lauxlib.h>

LUAMOD_API int luaopen_support_netcalls(lua_State *L);

static int fail(lua_State *L, const char *what)
{
	return luaL_error(L, "%s: %s", what, strerror(errno));
}

/* Goes to a network namespace; returns a descriptor of the one it leaves. */
static int calls_enter(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	int to = open(path, O_RDONLY | O_CLOEXEC);
	int from, failed;

	if (to < 0)
		return fail(L, path);
	from = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	failed = from < 0 || setns(to, CLONE_NEWNET);
	close(to);
	if (failed) {
		if (from >= 0)
			close(from);
		return fail(L, "setns");
	}
	lua_pushinteger(L, from);
	return 1;
}

/* Goes back to the namespace of such a descriptor and closes it. */
static int calls_leave(lua_State *L)
{
	int fd = (int)luaL_checkinteger(L, 1);

	if (setns(fd, CLONE_NEWNET))
		return fail(L, "setns");
	close(fd);
	return 0;
}

static int calls_setsockopt(lua_State *L)
{
	static const char *const names[] = { "no_check", "attach_reuseport_ebpf", "lock_filter", NULL };
	static const int options[] = { SO_NO_CHECK, SO_ATTACH_REUSEPORT_EBPF, SO_LOCK_FILTER };
	int fd = (int)luaL_checkinteger(L, 1);
	int option = luaL_checkoption(L, 2, NULL, names);
	int value = (int)luaL_checkinteger(L, 3);

	if (setsockopt(fd, SOL_SOCKET, options[option], &value, sizeof(value)))
		return fail(L, names[option]);
	return 0;
}

/* Asks for the socket's address and its peer's. */
static int calls_names(lua_State *L)
{
	int fd = (int)luaL_checkinteger(L, 1);
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &len))
		return fail(L, "getsockname");
	len = sizeof(address);
	return getpeername(fd, (struct sockaddr *)&address, &len) ? fail(L, "getpeername") : 0;
}

static int calls_cookie(lua_State *L)
{
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);

	if (getsockopt((int)luaL_checkinteger(L, 1), SOL_SOCKET, SO_COOKIE, &cookie, &size))
		return fail(L, "SO_COOKIE");
	lua_pushinteger(L, (lua_Integer)cookie);
	return 1;
}

static int calls_index(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);
	unsigned index = if_nametoindex(name);

	if (!index)
		return fail(L, name);
	lua_pushinteger(L, index);
	return 1;
}

/* Attaches or detaches a program, at stack index 1, to the map or cgroup at 2, as the type at 3. */
static int attach(lua_State *L, enum bpf_cmd command)
{
	static const char *const names[] = { "sk_skb_stream_verdict", "sk_msg_verdict", "cgroup_inet_egress",
					     "cgroup_sock_ops", NULL };
	static const enum bpf_attach_type types[] = { BPF_SK_SKB_STREAM_VERDICT, BPF_SK_MSG_VERDICT,
						      BPF_CGROUP_INET_EGRESS, BPF_CGROUP_SOCK_OPS };
	const char *path = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : NULL;
	union bpf_attr attr;
	int error, target;

	memset(&attr, 0, sizeof(attr));
	attr.attach_bpf_fd = (uint32_t)luaL_checkinteger(L, 1);
	attr.attach_type = types[luaL_checkoption(L, 3, NULL, names)];
	target = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : (int)luaL_checkinteger(L, 2);
	if (target < 0)
		return fail(L, path ? path : "attach");
	attr.target_fd = (uint32_t)target;
	error = syscall(SYS_bpf, command, &attr, sizeof(attr)) < 0 ? errno : 0;
	if (path)
		close(target);
	errno = error;
	return error ? fail(L, command == BPF_PROG_ATTACH ? "attach" : "detach") : 0;
}

static int calls_attach(lua_State *L)
{
	return attach(L, BPF_PROG_ATTACH);
}

static int calls_detach(lua_State *L)
{
	return attach(L, BPF_PROG_DETACH);
}

static const luaL_Reg functions[] = {
	{ "attach", calls_attach }, { "cookie", calls_cookie },		{ "detach", calls_detach },
	{ "enter", calls_enter },   { "index", calls_index },		{ "leave", calls_leave },
	{ "names", calls_names },   { "setsockopt", calls_setsockopt }, { NULL, NULL },
};

int luaopen_support_netcalls(lua_State *L)
{
	luaL_newlib(L, functions);
	return 1;
}
