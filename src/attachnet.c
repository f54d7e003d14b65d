/* SPDX-License-Identifier: MIT */
/* Ways to attach programs to the network and to cgroups. */
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

#include "attach.h"
#include "descriptor.h"
#include "map.h"
#include "newer.h"
#include "program.h"

/* An interface by index or name. */
static int read_interface(lua_State *L, struct lbpf_target *to)
{
	uint32_t number;
	int err;

	if (lua_type(L, 2) == LUA_TNUMBER) {
		to->ifindex = (int)lbpf_arg_int(L, 2, 1, INT32_MAX);
		return 0;
	}
	to->name = lbpf_arg_string(L, 2);
	err = lbpf_arg_interface(L, to->name, &number);
	to->ifindex = (int)number;
	return err;
}

/* ---- xdp ---- */

static const struct lbpf_name xdp_modes[] = {
	{ "skb", XDP_FLAGS_SKB_MODE },
	{ "native", XDP_FLAGS_DRV_MODE },
	{ "offload", XDP_FLAGS_HW_MODE },
	{ NULL, 0 },
};

static const struct lbpf_option xdp_options[] = {
	{ "mode", LBPF_OPT_STRING, offsetof(struct lbpf_target, mode) },
	{ "netlink", LBPF_OPT_BOOL, offsetof(struct lbpf_target, session) },
	LBPF_TARGET_OPT(BOOL, replace),
	{ NULL, LBPF_OPT_OTHER, 0 },
};

static int read_xdp(lua_State *L, struct lbpf_target *to)
{
	int64_t mode = to->mode ? lbpf_name_value(xdp_modes, to->mode) : 0;

	if (mode < 0)
		lbpf_name_unknown(L, xdp_modes, "mode", to->mode);
	to->flags = (uint32_t)mode;
	return read_interface(L, to);
}

/* Takes the program off only if it is still the one that we attached. */
static int undo_xdp(struct lbpf_link *self)
{
	LIBBPF_OPTS(bpf_xdp_attach_opts, opts, .old_prog_fd = self->at.prog);

	return -bpf_xdp_detach(self->at.ifindex, self->at.flags, &opts);
}

static int attach_xdp_netlink(struct lbpf_link *link, const struct bpf_program *prog, const struct lbpf_target *to)
{
	int err;

	link->at.ifindex = to->ifindex;
	link->at.flags = to->flags;
	link->at.prog = fcntl(bpf_program__fd(prog), F_DUPFD_CLOEXEC, 0);
	if (link->at.prog < 0)
		return errno;
	err = -bpf_xdp_attach(to->ifindex, link->at.prog, to->flags | (to->replace ? 0 : XDP_FLAGS_UPDATE_IF_NOEXIST),
			      NULL);
	if (!err)
		link->undo = undo_xdp;
	return err;
}

static int attach_xdp(struct lbpf_link *link, const struct bpf_program *prog, const struct lbpf_target *to)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = to->flags);

	if (to->session || to->replace)
		return attach_xdp_netlink(link, prog, to);
	if (!to->flags)
		return lbpf_attach_done(link, bpf_program__attach_xdp(prog, to->ifindex));
	link->fd = bpf_link_create(bpf_program__fd(prog), to->ifindex, BPF_XDP, &opts);
	return link->fd < 0 ? errno : 0;
}

/* ---- tc ---- */

static const struct lbpf_name tc_points[] = {
	{ "ingress", BPF_TC_INGRESS },
	{ "egress", BPF_TC_EGRESS },
	{ NULL, 0 },
};

static const struct lbpf_option tc_options[] = {
	{ "attach_point", LBPF_OPT_STRING, offsetof(struct lbpf_target, mode) },
	LBPF_TARGET_OPT(U32, handle),
	LBPF_TARGET_OPT(U32, priority),
	LBPF_TARGET_OPT(BOOL, replace),
	{ NULL, LBPF_OPT_OTHER, 0 },
};

static int read_tc(lua_State *L, struct lbpf_target *to)
{
	int64_t point = lbpf_name_value(tc_points, to->mode ? to->mode : "ingress");

	if (point < 0)
		lbpf_name_unknown(L, tc_points, "attach_point", to->mode);
	to->point = (uint32_t)point;
	return read_interface(L, to);
}

static int undo_tc(struct lbpf_link *self)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = self->at.ifindex,
		    .attach_point = (enum bpf_tc_attach_point)self->at.point);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = self->at.handle, .priority = self->at.priority);
	LIBBPF_OPTS(bpf_tc_opts, now, .handle = self->at.handle, .priority = self->at.priority);

	/* somebody may have put another program in its place */
	if (bpf_tc_query(&hook, &now) == 0 && now.prog_id != self->at.flags)
		return 0;
	return -bpf_tc_detach(&hook, &opts);
}

/* Takes away the clsact qdisc, with the filters of both directions. */
static void remove_clsact(int ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, both, .ifindex = ifindex, .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);

	bpf_tc_hook_destroy(&both);
}

static int attach_tc(struct lbpf_link *link, const struct bpf_program *prog, const struct lbpf_target *to)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = to->ifindex, .attach_point = (enum bpf_tc_attach_point)to->point);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = bpf_program__fd(prog), .handle = to->handle, .priority = to->priority,
		    .flags = to->replace ? BPF_TC_F_REPLACE : 0);
	int err = -bpf_tc_hook_create(&hook);
	bool made = !err;

	if (err && err != EEXIST) /* the clsact qdisc is there already; it stays, for others may use it by now */
		return err;
	err = -bpf_tc_attach(&hook, &opts);
	if (err && made)
		remove_clsact(to->ifindex);
	if (err)
		return err;
	link->at.ifindex = to->ifindex;
	link->at.point = (int)to->point;
	link->at.handle = opts.handle;
	link->at.priority = opts.priority;
	link->at.flags = opts.prog_id;
	link->undo = undo_tc;
	return 0;
}

/* ---- tcx and netkit: lists of programs ---- */

static const struct lbpf_name mprog_flags[] = {
	{ "replace", 1 << 2 }, { "before", 1 << 3 }, { "after", 1 << 4 },
	{ "id", 1 << 5 },      { "link", 1 << 13 },  { NULL, 0 },
};

static const struct lbpf_option mprog_options[] = {
	{ "flags", LBPF_OPT_OTHER, 0 },		 LBPF_TARGET_OPT(U32, relative_fd), LBPF_TARGET_OPT(U32, relative_id),
	LBPF_TARGET_OPT(U64, expected_revision), { NULL, LBPF_OPT_OTHER, 0 },
};

static void read_mprog(lua_State *L, struct lbpf_target *to)
{
	if (lua_istable(L, 3)) {
		lua_getfield(L, 3, "flags");
		to->flags = (uint32_t)lbpf_arg_flags(L, lua_gettop(L), mprog_flags, NULL);
		lua_pop(L, 1);
	}
}

static int read_mprog_interface(lua_State *L, struct lbpf_target *to)
{
	read_mprog(L, to);
	return read_interface(L, to);
}

static struct lbpf_mprog_opts mprog_opts(const struct lbpf_target *to)
{
	struct lbpf_mprog_opts opts;

	memset(&opts, 0, sizeof(opts));
	opts.sz = sizeof(opts);
	opts.flags = to->flags;
	opts.relative_fd = to->relative_fd;
	opts.relative_id = to->relative_id;
	opts.expected_revision = to->expected_revision;
	return opts;
}

static int attach_tcx(struct lbpf_link *link, const struct bpf_program *prog, const struct lbpf_target *to)
{
	struct lbpf_mprog_opts opts = mprog_opts(to);

	return lbpf_attach_done(link, lbpf_newer_tcx(prog, to->ifindex, &opts));
}

static int attach_netkit(struct lbpf_link *link, const struct bpf_program *prog, const struct lbpf_target *to)
{
	struct lbpf_mprog_opts opts = mprog_opts(to);

	return lbpf_attach_done(link, lbpf_newer_netkit(prog, to->ifindex, &opts));
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

/* A number or a name of the list at field `name` of argument 2. */
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
		value = (uint32_t)lbpf_arg_int(L, lua_gettop(L), 0, UINT32_MAX);
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

static int attach_netfilter(struct lbpf_link *link, const struct bpf_program *prog, const struct lbpf_target *to)
{
	struct lbpf_netfilter_opts opts;

	memset(&opts, 0, sizeof(opts));
	opts.sz = sizeof(opts);
	opts.pf = to->pf;
	opts.hooknum = to->hooknum;
	opts.priority = to->netfilter_priority;
	opts.flags = to->flags;
	return lbpf_attach_done(link, lbpf_newer_netfilter(prog, &opts));
}

/* ---- network namespaces and cgroups ---- */

static int read_path(lua_State *L, struct lbpf_target *to)
{
	luaL_checkany(L, 2);
	return lbpf_descriptor_path(L, 2, O_RDONLY, &to->fd);
}

static int attach_netns(struct lbpf_link *link, const struct bpf_program *prog, const struct lbpf_target *to)
{
	return lbpf_attach_done(link, bpf_program__attach_netns(prog, to->fd));
}

static int read_cgroup(lua_State *L, struct lbpf_target *to)
{
	read_mprog(L, to);
	return read_path(L, to);
}

static int attach_cgroup(struct lbpf_link *link, const struct bpf_program *prog, const struct lbpf_target *to)
{
	struct lbpf_mprog_opts opts = mprog_opts(to);

	if (!to->flags && !to->relative_fd && !to->relative_id && !to->expected_revision)
		return lbpf_attach_done(link, bpf_program__attach_cgroup(prog, to->fd));
	return lbpf_newer_cgroup ? lbpf_attach_done(link, lbpf_newer_cgroup(prog, to->fd, &opts)) : ENOSYS;
}

/* ---- sockets ---- */

/* A map of sockets; the program becomes the map's, for what its section says. */
static int read_sockmap(lua_State *L, struct lbpf_target *to)
{
	struct lbpf_map *map = lbpf_map_check(L, 2, 0, "attach_sockmap");

	luaL_argcheck(L, map->type == BPF_MAP_TYPE_SOCKMAP || map->type == BPF_MAP_TYPE_SOCKHASH, 2,
		      "a sockmap or sockhash expected");
	to->map = map;
	return 0;
}

static int undo_sockmap(struct lbpf_link *self)
{
	return -bpf_prog_detach2(self->at.prog, self->at.target, (enum bpf_attach_type)self->at.point);
}

/* Kernels from 6.10 on have links for this, with libbpf 1.5. */
static int attach_sockmap(struct lbpf_link *link, const struct bpf_program *prog, const struct lbpf_target *to)
{
	int err;

	if (lbpf_newer_sockmap && lbpf_attach_done(link, lbpf_newer_sockmap(prog, to->map->fd)) == 0)
		return 0;
	link->at.point = (int)bpf_program__expected_attach_type(prog);
	link->at.target = fcntl(to->map->fd, F_DUPFD_CLOEXEC, 0);
	link->at.prog = fcntl(bpf_program__fd(prog), F_DUPFD_CLOEXEC, 0);
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

static int attach_socket_option(struct lbpf_link *link, const struct bpf_program *prog, const struct lbpf_target *to,
				int attach, int detach)
{
	int fd = bpf_program__fd(prog);

	link->at.point = detach;
	link->at.target = fcntl(to->fd, F_DUPFD_CLOEXEC, 0);
	if (link->at.target < 0)
		return errno;
	if (setsockopt(to->fd, SOL_SOCKET, attach, &fd, sizeof(fd)))
		return errno;
	link->undo = undo_socket;
	return 0;
}

static int attach_socket(struct lbpf_link *link, const struct bpf_program *prog, const struct lbpf_target *to)
{
	return attach_socket_option(link, prog, to, SO_ATTACH_BPF, SO_DETACH_BPF);
}

static int attach_reuseport(struct lbpf_link *link, const struct bpf_program *prog, const struct lbpf_target *to)
{
	return attach_socket_option(link, prog, to, SO_ATTACH_REUSEPORT_EBPF, SO_DETACH_REUSEPORT_BPF);
}

#define CGROUP_TYPES                                                                                  \
	(LBPF_OF(CGROUP_SKB) | LBPF_OF(CGROUP_SOCK) | LBPF_OF(CGROUP_SOCK_ADDR) | LBPF_OF(SOCK_OPS) | \
	 LBPF_OF(CGROUP_DEVICE) | LBPF_OF(CGROUP_SYSCTL) | LBPF_OF(CGROUP_SOCKOPT) | LBPF_OF(LSM))

/*** Attaches an xdp program to a network interface.
@function prog:attach_xdp
@tparam string|integer interface name or index
@tparam ?table options
- mode: "skb", "native" or "offload"; by default the kernel chooses native or skb
- netlink: true attaches as `ip link` does, without a link of the kernel's: the only way before kernel 5.9
- replace: true puts it in place of a program that is attached by netlink
@treturn bpf.link the link
@treturn nil,string,string on failure: ENODEV (no such interface), EBUSY or EEXIST (it has a program), EOPNOTSUPP (no
 such mode), EPERM, …
@see bpf_program__attach_xdp, bpf_xdp_attach
@since kernel 5.9; 4.8 by netlink */

/*** Attaches a tc program (SEC("tc")) to an interface's clsact queueing discipline, which is made if it isn't there and
stays.
@function prog:attach_tc
@tparam string|integer interface name or index
@tparam ?table options
- attach_point: "ingress" (the default) or "egress"
- handle, priority: of the filter; by default the kernel chooses
- replace: true puts it in place of the filter with that handle and priority
@treturn bpf.link the link, which is none to the kernel: it can't be pinned
@treturn nil,string,string on failure: ENODEV, EEXIST, EPERM, …
@see bpf_tc_hook_create, bpf_tc_attach */

/*** Attaches a tc program (SEC("tcx/ingress"), "tcx/egress") to an interface, among others.
@function prog:attach_tcx
@tparam string|integer interface name or index
@tparam ?table options
- flags: "before", "after", "replace", "id", "link": where in the list, next to relative_fd or relative_id
- relative_fd, relative_id: a program's, or a link's with the flag "link"
- expected_revision: of the list
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOSYS (libbpf before 1.3), ENODEV, …
@see bpf_program__attach_tcx
@since kernel 6.6, libbpf 1.3 */

/*** Attaches a program (SEC("netkit/primary"), "netkit/peer") to a netkit interface.
@function prog:attach_netkit
@tparam string|integer interface name or index
@tparam ?table options as of attach_tcx
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOSYS (libbpf before 1.3), ENODEV, …
@see bpf_program__attach_netkit
@since kernel 6.7, libbpf 1.3 */

/*** Attaches a netfilter program to a hook.
@function prog:attach_netfilter
@tparam table options
- pf: "ipv4" (the default) or "ipv6"
- hooknum: "pre_routing", "local_in" (the default), "forward", "local_out", "post_routing"
- priority: among others, lower ones first; must differ from theirs
- flags: "defrag"
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOSYS (libbpf before 1.3), EBUSY (the priority is taken), …
@see bpf_program__attach_netfilter
@since kernel 6.4, libbpf 1.3 */

/*** Attaches a flow_dissector or sk_lookup program to a network namespace.
@function prog:attach_netns
@tparam string|integer netns path such as "/proc/self/ns/net", or descriptor
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOENT, E2BIG (it has a flow dissector), EPERM, …
@see bpf_program__attach_netns
@since kernel 5.7 for flow_dissector, 5.9 for sk_lookup */

/*** Attaches a cgroup program to a cgroup (of version 2).
@function prog:attach_cgroup
@tparam string|integer cgroup path or descriptor
@tparam ?table options flags, relative_fd, relative_id, expected_revision: as of attach_tcx (libbpf 1.6, kernel 6.17)
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOENT, EPERM, …
@see bpf_program__attach_cgroup, bpf_program__attach_cgroup_opts
@since kernel 5.7 */

/*** Attaches an sk_skb or sk_msg program to a map of sockets, for what its section says. It concerns the sockets that
come into the map from then on.
@function prog:attach_sockmap
@tparam bpf.map map of type sockmap or sockhash
@treturn bpf.link the link; one to the kernel since kernel 6.10 with libbpf 1.5
@treturn nil,string,string on failure: EBUSY, EPERM, …
@see bpf_program__attach_sockmap, bpf_prog_attach */

/*** Attaches a socket filter to a socket: it sees what the socket would receive, and cuts it or drops it.
@function prog:attach_socket
@tparam integer|userdata socket descriptor, or an object with getfd
@treturn bpf.link the link, which is none to the kernel
@treturn nil,string,string on failure: EINVAL, EPERM (the filter is locked), …
@see setsockopt(2) SO_ATTACH_BPF */

/*** Attaches an sk_reuseport program to the group of a socket with SO_REUSEPORT: it chooses who receives.
@function prog:attach_reuseport
@tparam integer|userdata socket descriptor, or an object with getfd
@treturn bpf.link the link, which is none to the kernel
@treturn nil,string,string on failure: EINVAL (no such group), EPERM, …
@see setsockopt(2) SO_ATTACH_REUSEPORT_EBPF
@since kernel 4.19 */
const struct lbpf_way lbpf_ways_net[] = {
	{ "attach_xdp", read_xdp, 3, xdp_options, attach_xdp, LBPF_OF(XDP), NULL, NULL },
	{ "attach_tc", read_tc, 3, tc_options, attach_tc, LBPF_OF(SCHED_CLS), NULL, NULL },
	{ "attach_tcx", read_mprog_interface, 3, mprog_options, attach_tcx, LBPF_OF(SCHED_CLS), "1.3", lbpf_newer_tcx },
	{ "attach_netkit", read_mprog_interface, 3, mprog_options, attach_netkit, LBPF_OF(SCHED_CLS), "1.3",
	  lbpf_newer_netkit },
	{ "attach_netfilter", read_netfilter, 2, netfilter_options, attach_netfilter,
	  UINT64_C(1) << LBPF_PROG_TYPE_NETFILTER, "1.3", lbpf_newer_netfilter },
	{ "attach_netns", read_path, 0, NULL, attach_netns, LBPF_OF(FLOW_DISSECTOR) | LBPF_OF(SK_LOOKUP), NULL, NULL },
	{ "attach_cgroup", read_cgroup, 3, mprog_options, attach_cgroup, CGROUP_TYPES, NULL, NULL },
	{ "attach_sockmap", read_sockmap, 0, NULL, attach_sockmap, LBPF_OF(SK_SKB) | LBPF_OF(SK_MSG), NULL, NULL },
	{ "attach_socket", read_socket, 0, NULL, attach_socket, LBPF_OF(SOCKET_FILTER), NULL, NULL },
	{ "attach_reuseport", read_socket, 0, NULL, attach_reuseport, LBPF_OF(SOCKET_FILTER) | LBPF_OF(SK_REUSEPORT),
	  NULL, NULL },
	{ NULL, NULL, 0, NULL, NULL, 0, NULL, NULL },
};
