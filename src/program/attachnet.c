/* SPDX-License-Identifier: MIT */
/* Ways to attach programs to network interfaces, network namespaces, sockets and cgroups. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/netfilter.h>

#include <lauxlib.h>

#include "base/newer.h"
#include "map/descriptor.h"
#include "map/map.h"
#include "program/attach.h"
#include "program/leftover.h"
#include "program/program.h"

/* ---- xdp ---- */

static const struct lbpf_name xdp_modes[] = {
	{ "skb", XDP_FLAGS_SKB_MODE },
	{ "native", XDP_FLAGS_DRV_MODE },
	{ "offload", XDP_FLAGS_HW_MODE },
	{ NULL, 0 },
};

static const struct lbpf_option xdp_options[] = {
	{ "mode", LBPF_OPT_STRING, offsetof(struct lbpf_target, mode) },
	LBPF_TARGET_OPT(BOOL, netlink),
	{ "replace", LBPF_OPT_OTHER, 0 },
	{ NULL, LBPF_OPT_OTHER, 0 },
};

static int read_xdp(lua_State *L, struct lbpf_target *to)
{
	int64_t mode = to->mode ? lbpf_name_value(xdp_modes, to->mode) : 0;

	if (mode < 0)
		lbpf_name_unknown(L, xdp_modes, "mode", to->mode);
	to->flags = (uint32_t)mode;
	lbpf_leftover_read(L, "attach_xdp", to);
	return lbpf_attach_interface(L, to);
}

/* Detaches the program only if it is still the one that this link attached. */
static int undo_xdp(struct lbpf_link *self)
{
	LIBBPF_OPTS(bpf_xdp_attach_opts, opts, .old_prog_fd = self->at.prog);

	return -bpf_xdp_detach(self->at.ifindex, self->at.flags, &opts);
}

/* Attaches without a link. With `replaced`, the kernel replaces the program that was found, and no other. */
static int attach_xdp_netlink(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	LIBBPF_OPTS(bpf_xdp_attach_opts, opts);
	int err, old = -1;

	link->at.ifindex = to->ifindex;
	link->at.flags = to->flags;
	link->at.prog = fcntl(lbpf_program_descriptor(p), F_DUPFD_CLOEXEC, 0);
	if (link->at.prog < 0)
		return errno;
	err = to->replaced ? lbpf_leftover_xdp(to->ifindex, to->replaced, &link->at.flags, &old) : 0;
	if (err)
		return err;
	if (old >= 0)
		opts.old_prog_fd = old;
	err = -bpf_xdp_attach(to->ifindex, link->at.prog,
			      link->at.flags | (to->replace || old >= 0 ? 0 : XDP_FLAGS_UPDATE_IF_NOEXIST), &opts);
	if (old >= 0)
		close(old);
	if (!err)
		link->undo = undo_xdp;
	return err;
}

static const char *xdp_cause(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to, int err)
{
	const char *cause = to->replaced ? lbpf_leftover_xdp_cause(L, to, err) : NULL;

	return cause ? cause : lbpf_attachcause_xdp(L, p, to, err);
}

static int attach_xdp(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = to->flags);

	if (to->netlink || to->replace || to->replaced)
		return attach_xdp_netlink(link, p, to);
	if (!to->flags && p->prog)
		return lbpf_attach_done(link, bpf_program__attach_xdp(p->prog, to->ifindex));
	link->fd = bpf_link_create(lbpf_program_descriptor(p), to->ifindex, BPF_XDP, &opts);
	return link->fd < 0 ? errno : 0;
}

/* ---- netfilter ---- */

static const struct lbpf_name protocols[] = { { "ipv4", NFPROTO_IPV4 }, { "ipv6", NFPROTO_IPV6 }, { NULL, 0 } };

static const struct lbpf_name hooks[] = {
	{ "pre_routing", NF_INET_PRE_ROUTING },	  { "local_in", NF_INET_LOCAL_IN },
	{ "forward", NF_INET_FORWARD },		  { "local_out", NF_INET_LOCAL_OUT },
	{ "post_routing", NF_INET_POST_ROUTING }, { NULL, 0 },
};

static const struct lbpf_name netfilter_flags[] = { { "defrag", 1 }, { NULL, 0 } };

static const struct lbpf_option netfilter_options[] = {
	{ "pf", LBPF_OPT_OTHER, 0 },
	{ "hooknum", LBPF_OPT_OTHER, 0 },
	{ "priority", LBPF_OPT_S32, offsetof(struct lbpf_target, netfilter_priority) },
	{ "flags", LBPF_OPT_OTHER, 0 },
	{ NULL, LBPF_OPT_OTHER, 0 },
};

/* The number in field `name` of argument 2: an integer, or a name from the list. */
static uint32_t read_named(lua_State *L, const char *name, const struct lbpf_name *names, uint32_t otherwise)
{
	uint32_t value = otherwise;

	if (lua_getfield(L, 2, name) == LUA_TSTRING) {
		const char *text = lua_tostring(L, -1);

		if (!lbpf_arg_is_text(L, -1))
			luaL_error(L, "option '%s' has a NUL byte in it", name);
		if (lbpf_name_value(names, text) < 0)
			lbpf_name_unknown(L, names, name, text);
		value = (uint32_t)lbpf_name_value(names, text);
	} else if (!lua_isnil(L, -1)) {
		value = (uint32_t)lbpf_arg_field(L, "attach_netfilter", name, 0, UINT32_MAX);
	}
	lua_pop(L, 1);
	return value;
}

static int read_netfilter(lua_State *L, struct lbpf_target *to)
{
	luaL_checktype(L, 2, LUA_TTABLE);
	to->pf = read_named(L, "pf", protocols, NFPROTO_IPV4);
	to->hooknum = read_named(L, "hooknum", hooks, NF_INET_LOCAL_IN);
	lua_getfield(L, 2, "flags");
	to->flags = (uint32_t)lbpf_arg_flags(L, lua_gettop(L), netfilter_flags, NULL);
	lua_pop(L, 1);
	return 0;
}

static int attach_netfilter(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	struct lbpf_netfilter_opts opts;

	memset(&opts, 0, sizeof(opts));
	opts.sz = sizeof(opts);
	opts.pf = to->pf;
	opts.hooknum = to->hooknum;
	opts.priority = to->netfilter_priority;
	opts.flags = to->flags;
	return lbpf_attach_done(link, lbpf_newer_netfilter(p->prog, &opts));
}

/* ---- network namespaces and cgroups ---- */

static int read_path(lua_State *L, struct lbpf_target *to)
{
	luaL_checkany(L, 2);
	return lbpf_descriptor_path(L, 2, O_RDONLY, &to->fd);
}

static int attach_netns(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	return lbpf_attach_done(link, bpf_program__attach_netns(p->prog, to->fd));
}

static int read_cgroup(lua_State *L, struct lbpf_target *to)
{
	lbpf_attach_read_mprog(L, to);
	return read_path(L, to);
}

static int attach_cgroup(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	struct lbpf_mprog_opts opts = lbpf_attach_mprog(to);

	if (!to->flags && !to->relative_fd && !to->relative_id && !to->expected_revision)
		return lbpf_attach_done(link, bpf_program__attach_cgroup(p->prog, to->fd));
	return lbpf_newer_cgroup ? lbpf_attach_done(link, lbpf_newer_cgroup(p->prog, to->fd, &opts))
				 : LBPF_ATTACH_NEEDS(6);
}

/* ---- sockets ---- */

static const struct lbpf_option sockmap_options[] = {
	LBPF_TARGET_OPT(STRING, attach_type),
	{ NULL, LBPF_OPT_OTHER, 0 },
};

/* Attaches to a map of sockets, in the way that the program's section says. */
static int read_sockmap(lua_State *L, struct lbpf_target *to)
{
	struct lbpf_map *map = lbpf_map_check(L, 2, 0, "attach_sockmap");

	luaL_argcheck(L, map->type == BPF_MAP_TYPE_SOCKMAP || map->type == BPF_MAP_TYPE_SOCKHASH, 2,
		      "a sockmap or sockhash expected");
	to->map = map;
	if (to->attach_type)
		to->type = (int)lbpf_program_attach_type(L, to->attach_type);
	return 0;
}

static int undo_sockmap(struct lbpf_link *self)
{
	return -bpf_prog_detach2(self->at.prog, self->at.target, (enum bpf_attach_type)self->at.point);
}

/* Since kernel 6.10 and libbpf 1.5 there are links for this. */
static int attach_sockmap(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	bool by_section = p->prog && to->type < 0;
	int type = by_section ? (int)bpf_program__expected_attach_type(p->prog) : lbpf_opened_type(p, to), err;

	if (type < 0)
		return EINVAL;
	if (by_section && lbpf_newer_sockmap && lbpf_attach_done(link, lbpf_newer_sockmap(p->prog, to->map->fd)) == 0)
		return 0;
	link->at.point = type;
	link->at.target = fcntl(to->map->fd, F_DUPFD_CLOEXEC, 0);
	link->at.prog = fcntl(lbpf_program_descriptor(p), F_DUPFD_CLOEXEC, 0);
	if (link->at.target < 0 || link->at.prog < 0)
		return errno;
	err = -bpf_prog_attach(link->at.prog, link->at.target, (enum bpf_attach_type)link->at.point, 0);
	if (!err)
		link->undo = undo_sockmap;
	return err;
}

static int read_socket(lua_State *L, struct lbpf_target *to)
{
	luaL_checkany(L, 2);
	to->fd = lbpf_descriptor_arg(L, 2);
	return 0;
}

static int undo_socket(struct lbpf_link *self)
{
	int zero = 0;

	return setsockopt(self->at.target, SOL_SOCKET, self->at.point, &zero, sizeof(zero)) ? errno : 0;
}

static int attach_socket_option(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to,
				int attach, int detach)
{
	int fd = lbpf_program_descriptor(p);

	link->at.point = detach;
	link->at.target = fcntl(to->fd, F_DUPFD_CLOEXEC, 0);
	if (link->at.target < 0)
		return errno;
	if (setsockopt(to->fd, SOL_SOCKET, attach, &fd, sizeof(fd)))
		return errno;
	link->undo = undo_socket;
	return 0;
}

static int attach_socket(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	return attach_socket_option(link, p, to, SO_ATTACH_BPF, SO_DETACH_BPF);
}

static int attach_reuseport(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	return attach_socket_option(link, p, to, SO_ATTACH_REUSEPORT_EBPF, SO_DETACH_REUSEPORT_BPF);
}

#define CGROUP_TYPES                                                                                  \
	(LBPF_OF(CGROUP_SKB) | LBPF_OF(CGROUP_SOCK) | LBPF_OF(CGROUP_SOCK_ADDR) | LBPF_OF(SOCK_OPS) | \
	 LBPF_OF(CGROUP_DEVICE) | LBPF_OF(CGROUP_SYSCTL) | LBPF_OF(CGROUP_SOCKOPT) | LBPF_OF(LSM))

/*** Attaches an xdp program to a network interface.
@function prog:attach_xdp
@tparam string|integer interface name or index
@tparam ?table options
- mode: "skb", "native" or "offload"; by default the kernel chooses native or skb
- netlink: true attaches as `ip link` does, without a link in the kernel; before kernel 5.9 this is the only way
- replace: true replaces a program that is attached by netlink, whatever it is. The program's own name, as a string,
  replaces a program of this name: what an earlier process of the same tool has left. It takes CAP_SYS_ADMIN and leaves
  other programs alone; if the interface has no program, it is attached. Every packet meets the old program or the new
  one. Without mode, the new program gets the mode of the old one. Either value attaches by netlink
@treturn bpf.link the link
@treturn nil,string,string on failure: ENODEV (no such interface), EBUSY or EEXIST (the interface has a program, or
another one than option replace names), EOPNOTSUPP (the interface does not have this mode), EPERM, …
@usage
local link = assert(obj.progs.pass:attach_xdp("eth0", { mode = "skb" }))
link:close() -- detaches the program
local again = assert(obj.progs.pass:attach_xdp("eth0", { replace = "pass" })) -- takes over what a killed process left
again:close()
@see bpf_program__attach_xdp, bpf_xdp_attach
@since kernel 5.9; 4.8 by netlink */

/*** Attaches a netfilter program to a hook.
@function prog:attach_netfilter
@tparam table options
- pf: the protocol family, "ipv4" (the default) or "ipv6"
- hooknum: "pre_routing", "local_in" (the default), "forward", "local_out" or "post_routing"
- priority: the program's place among those of the hook; lower priorities run first, and no two may be the same
- flags: "defrag" reassembles fragments before the program runs
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOSYS (libbpf before 1.3), EBUSY (the priority is taken), …
@usage not run: it needs libbpf 1.3
local link <close> = assert(obj.progs.filter:attach_netfilter { hooknum = "local_in", priority = -100 })
@see bpf_program__attach_netfilter
@since kernel 6.4, libbpf 1.3 */

/*** Attaches a flow_dissector or sk_lookup program to a network namespace.
@function prog:attach_netns
@tparam string|integer netns path such as "/proc/self/ns/net", or a descriptor
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOENT, E2BIG (the namespace has a flow dissector), EPERM, …
@usage
local link = assert(obj.progs.look_up:attach_netns("/proc/self/ns/net")) -- SEC("sk_lookup")
link:close()
@see bpf_program__attach_netns
@since kernel 5.7 for flow_dissector, 5.9 for sk_lookup */

/*** Attaches a cgroup program to a cgroup of version 2. The program also runs for the cgroup's descendants.
@function prog:attach_cgroup
@tparam string|integer cgroup path or descriptor
@tparam ?table options
- flags, relative_fd, relative_id, expected_revision: as in prog:attach_tcx (libbpf 1.6, kernel 6.17)
- attach_type: for a program opened by pin or id whose type can attach in several places, for example
  "cgroup_inet_egress"
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOENT, EPERM, …
@usage
local link = assert(obj.progs.count_packets:attach_cgroup(group)) -- group is a path, such as "/sys/fs/cgroup/web"
link:close()
@see bpf_program__attach_cgroup, bpf_program__attach_cgroup_opts
@since kernel 5.7 */

/*** Attaches an sk_skb or sk_msg program to a map of sockets, in the role that its section names. The program runs for
sockets that are stored in the map from then on, not for those that the map holds already.
@function prog:attach_sockmap
@tparam bpf.map map of type sockmap or sockhash
@tparam ?table options
- attach_type: for an sk_skb program opened by pin or id, for example "sk_skb_stream_verdict"
@treturn bpf.link the link, which has a descriptor since kernel 6.10, with libbpf 1.5
@treturn nil,string,string on failure: EBUSY, EPERM, …
@usage
local link = assert(obj.progs.skb_to_sock:attach_sockmap(obj.maps.socks)) -- SEC("sk_skb/stream_verdict")
link:close()
@see bpf_program__attach_sockmap, bpf_prog_attach */

/*** Attaches a socket filter to a socket. The filter runs for each packet before the socket receives it, and may cut or
drop the packet.
@function prog:attach_socket
@tparam integer|userdata socket descriptor, or an object with the method getfd
@treturn bpf.link the link, which has no descriptor and can't be pinned
@treturn nil,string,string on failure: EINVAL, EPERM (the filter is locked), …
@usage
local link = assert(obj.progs.everything:attach_socket(sock)) -- sock is a socket of LuaSocket
link:close()
@see setsockopt(2) SO_ATTACH_BPF */

/*** Attaches an sk_reuseport program to the group of a socket with SO_REUSEPORT. The program chooses which socket of
the group receives a packet or connection.
@function prog:attach_reuseport
@tparam integer|userdata socket descriptor, or an object with the method getfd
@treturn bpf.link the link, which has no descriptor and can't be pinned
@treturn nil,string,string on failure: EINVAL (no such group), EPERM, …
@usage
sock:setoption("reuseport", true)
assert(sock:setsockname("127.0.0.1", 0))
local link = assert(obj.progs.by_choice:attach_reuseport(sock))
link:close()
@see setsockopt(2) SO_ATTACH_REUSEPORT_EBPF
@since kernel 4.19 */
const struct lbpf_way lbpf_ways_net[] = {
	{ .method = "attach_xdp",
	  .read = read_xdp,
	  .options_at = 3,
	  .options = xdp_options,
	  .attach = attach_xdp,
	  .opened = attach_xdp,
	  .cause = xdp_cause,
	  .types = LBPF_OF(XDP) },
	{ .method = "attach_netfilter",
	  .read = read_netfilter,
	  .options_at = 2,
	  .options = netfilter_options,
	  .attach = attach_netfilter,
	  .opened = lbpf_opened_netfilter,
	  .cause = lbpf_attachcause_netfilter,
	  .types = UINT64_C(1) << LBPF_PROG_TYPE_NETFILTER,
	  .libbpf = "1.3",
	  .symbol = lbpf_newer_netfilter },
	{ .method = "attach_netns",
	  .read = read_path,
	  .attach = attach_netns,
	  .opened = lbpf_opened_target,
	  .cause = lbpf_attachcause_netns,
	  .types = LBPF_OF(FLOW_DISSECTOR) | LBPF_OF(SK_LOOKUP) },
	{ .method = "attach_cgroup",
	  .read = read_cgroup,
	  .options_at = 3,
	  .options = lbpf_mprog_options,
	  .attach = attach_cgroup,
	  .opened = lbpf_opened_target,
	  .cause = lbpf_attachcause_cgroup,
	  .types = CGROUP_TYPES },
	{ .method = "attach_sockmap",
	  .read = read_sockmap,
	  .options_at = 3,
	  .options = sockmap_options,
	  .attach = attach_sockmap,
	  .opened = attach_sockmap,
	  .cause = lbpf_opened_cause,
	  .types = LBPF_OF(SK_SKB) | LBPF_OF(SK_MSG) },
	{ .method = "attach_socket",
	  .read = read_socket,
	  .attach = attach_socket,
	  .opened = attach_socket,
	  .cause = lbpf_attachcause_socket,
	  .types = LBPF_OF(SOCKET_FILTER) },
	{ .method = "attach_reuseport",
	  .read = read_socket,
	  .attach = attach_reuseport,
	  .opened = attach_reuseport,
	  .cause = lbpf_attachcause_reuseport,
	  .types = LBPF_OF(SOCKET_FILTER) | LBPF_OF(SK_REUSEPORT) },
	{ .method = NULL },
};
