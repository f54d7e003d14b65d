/* SPDX-License-Identifier: MIT */
/* System calls that specs of network maps need and neither LuaSocket nor the module under test has.
 *
 *	local calls = require "support.netcalls"
 *	calls.space("/run/netns/x") ... calls.unspace(path)		a new network namespace, as by `ip netns add`
 *	calls.up("eth0", "10.0.0.1", 24)				an interface, with an address if wanted
 *	local back = calls.enter("/run/netns/x") ... calls.leave(back)	another network namespace, and the former one
 *	calls.setsockopt(fd, "no_check", 1)				options that LuaSocket doesn't know
 *	calls.cookie(fd)						SO_COOKIE
 *	calls.names(fd)							asks for its address and its peer's
 *	calls.index(name)						an interface's index
 *	calls.attach(prog fd, target fd or path, "sk_msg_verdict")	BPF_PROG_ATTACH, and calls.detach
 *
 * Descriptors are integers. What fails raises. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/bpf.h>

#include <lauxlib.h>

LUAMOD_API int luaopen_support_netcalls(lua_State *L);

static int fail(lua_State *L, const char *what)
{
	return luaL_error(L, "%s: %s", what, strerror(errno));
}

/* Sets one of an interface's addresses: `request` says which. */
static int set_address(int fd, struct ifreq *ifr, unsigned long request, uint32_t address)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = address };

	memcpy(&ifr->ifr_addr, &in, sizeof(in));
	return ioctl(fd, request, ifr);
}

/* Brings an interface up, with an address of IPv4 in front of it, in the network's byte order, unless the prefix is 0.
 */
static int bring_up(const char *name, uint32_t address, unsigned prefix)
{
	struct ifreq ifr = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int error;

	if (fd < 0)
		return -1;
	strncpy(ifr.ifr_name, name, IFNAMSIZ - 1);
	error = prefix &&
		(set_address(fd, &ifr, SIOCSIFADDR, address) ||
		 set_address(fd, &ifr, SIOCSIFNETMASK, htonl(0xffffffffU << (32 - prefix))));
	error = error || ioctl(fd, SIOCGIFFLAGS, &ifr);
	ifr.ifr_flags |= IFF_UP;
	error = error || ioctl(fd, SIOCSIFFLAGS, &ifr) ? errno : 0;
	close(fd);
	errno = error;
	return error ? -1 : 0;
}

static int calls_up(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);
	const char *text = luaL_optstring(L, 2, "0.0.0.0");
	struct in_addr address;

	if (inet_pton(AF_INET, text, &address) != 1)
		return luaL_error(L, "%s: no address", text);
	return bring_up(name, address.s_addr, (unsigned)luaL_optinteger(L, 3, 0)) ? fail(L, name) : 0;
}

/* Makes the folder of a file a place for mounts that other mount namespaces see go. */
static int share_folder(const char *file)
{
	const char *slash = strrchr(file, '/');
	char dir[256] = "";

	if (!slash || (size_t)(slash - file) >= sizeof(dir)) {
		errno = EINVAL;
		return -1;
	}
	memcpy(dir, file, (size_t)(slash - file));
	if (mkdir(dir, 0755) && errno != EEXIST)
		return -1;
	if (!mount("", dir, "none", MS_SHARED | MS_REC, NULL))
		return 0;
	return mount(dir, dir, "none", MS_BIND | MS_REC, NULL) || mount("", dir, "none", MS_SHARED | MS_REC, NULL) ? -1
														   : 0;
}

/* Makes a network namespace whose loopback is up, and which the file, that is new, keeps. */
static int make_space(const char *path, int home)
{
	int fd, error;

	if (share_folder(path))
		return -1;
	fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	close(fd);
	if (unshare(CLONE_NEWNET)) {
		error = errno;
	} else {
		error = mount("/proc/thread-self/ns/net", path, "none", MS_BIND, NULL) || bring_up("lo", 0, 0) ? errno
													       : 0;
		if (setns(home, CLONE_NEWNET))
			error = errno;
	}
	if (error) {
		umount2(path, MNT_DETACH);
		unlink(path);
	}
	errno = error;
	return error ? -1 : 0;
}

static int calls_space(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	int error;

	if (home < 0)
		return fail(L, "namespace");
	error = make_space(path, home) ? errno : 0;
	close(home);
	errno = error;
	return error ? fail(L, path) : 0;
}

static int calls_unspace(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);

	return umount2(path, MNT_DETACH) || unlink(path) ? fail(L, path) : 0;
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
	{ "attach", calls_attach }, { "cookie", calls_cookie },
	{ "detach", calls_detach }, { "enter", calls_enter },
	{ "index", calls_index },   { "leave", calls_leave },
	{ "names", calls_names },   { "setsockopt", calls_setsockopt },
	{ "space", calls_space },   { "unspace", calls_unspace },
	{ "up", calls_up },	    { NULL, NULL },
};

int luaopen_support_netcalls(lua_State *L)
{
	luaL_newlib(L, functions);
	return 1;
}
