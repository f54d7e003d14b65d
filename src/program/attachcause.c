/* SPDX-License-Identifier: MIT */
/* Why the kernel refused to attach a program, in words. The meaning of an errno depends on what is attached, and
 * where. */
#define _GNU_SOURCE
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/nsfs.h>

#include <lauxlib.h>

#include "base/cause.h"
#include "program/attach.h"
#include "program/perfevent.h"
#include "program/program.h"

struct row {
	int err;
	const char *words;
};

/* The text of the row with that errno, or NULL. The last row has the errno 0. */
static const char *find(const struct row *row, int err)
{
	while (row->err && row->err != err)
		row++;
	return row->words;
}

/* The part of the section after its kind; NULL if there is none. */
static const char *named_by_section(const struct lbpf_program *p)
{
	const char *slash = p->prog ? strchr(bpf_program__section_name(p->prog), '/') : NULL;

	return slash ? slash + 1 : NULL;
}

/* ---- functions and tracepoints of the kernel ---- */

const char *lbpf_attachcause_kprobe(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to, int err)
{
	const char *name = to->name ? to->name : named_by_section(p);
	bool events = access("/sys/bus/event_source/devices/kprobe", F_OK) == 0;

	if (err != ENOENT || !name)
		return NULL;
	if (!events && lbpf_no_tracefs())
		return NULL; /* then libbpf uses tracefs */
	if (!events && access("/sys/kernel/tracing/kprobe_events", F_OK) &&
	    access("/sys/kernel/debug/tracing/kprobe_events", F_OK))
		return lua_pushfstring(L, "no probe on '%s', for this kernel has none (CONFIG_KPROBE_EVENTS)", name);
	return lua_pushfstring(L, "the kernel has no function '%s', or none that probes can be put on", name);
}

const char *lbpf_attachcause_kprobe_multi(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to,
					  int err)
{
	(void)p;
	if (err == ESRCH)
		return "one of the functions isn't there, or no probe can be put on it";
	return err == ENOENT && to->name && !lbpf_no_tracefs()
		? lua_pushfstring(L, "no function of the kernel's matches '%s'", to->name)
		: NULL;
}

const char *lbpf_attachcause_freplace(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to, int err)
{
	(void)p;
	return err == ENOENT ? lua_pushfstring(L, "program '%s' has no function '%s'", to->target->name, to->func_name)
			     : NULL;
}

const char *lbpf_attachcause_raw_tracepoint(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to,
					    int err)
{
	const char *name = to->name ? to->name : named_by_section(p);

	if (err == EINVAL)
		return "the program takes more than this tracepoint gives";
	return err == ENOENT && name ? lua_pushfstring(L, "there is no tracepoint '%s'", name) : NULL;
}

const char *lbpf_attachcause_tracepoint(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to,
					int err)
{
	(void)L;
	(void)p;
	(void)to;
	return err == E2BIG ? "the tracepoint has as many programs as the kernel lets it have, 64 of all processes "
			      "together; raw tracepoints take any number"
			    : NULL;
}

const char *lbpf_attachcause_section(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to, int err)
{
	const char *section = bpf_program__section_name(p->prog);

	switch (bpf_program__type(p->prog)) {
	case BPF_PROG_TYPE_KPROBE:
		if (strncmp(section, "kprobe/", 7) == 0 || strncmp(section, "kretprobe/", 10) == 0 ||
		    strncmp(section, "ksyscall/", 9) == 0 || strncmp(section, "kretsyscall/", 12) == 0)
			return lbpf_attachcause_kprobe(L, p, to, err);
		return lbpf_attach_user_cause(L, p, err);
	case BPF_PROG_TYPE_TRACEPOINT:
		return lbpf_attachcause_tracepoint(L, p, to, err);
	case BPF_PROG_TYPE_RAW_TRACEPOINT:
	case BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE:
		return lbpf_attachcause_raw_tracepoint(L, p, to, err);
	default:
		return NULL;
	}
}

/* ---- perf events, iterators ---- */

const char *lbpf_attachcause_perf_event(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to,
					int err)
{
	if (!p->prog && err == EINVAL && !to->event)
		return "perhaps a kernel before 5.15, which attaches only programs of objects to events";
	return to->event ? lbpf_perfevent_cause(L, to->event, err) : NULL;
}

const char *lbpf_attachcause_iter(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to, int err)
{
	(void)L;
	(void)p;
	if (err == EBADF && !to->iter)
		return "this iterator goes over the entries of a map: option 'map' must say which";
	if (err == EBADF && to->fd >= 0)
		return lbpf_no_cgroup(to->fd);
	if (err == EINVAL && to->map)
		return "this iterator doesn't go over maps of this type";
	return NULL;
}

/* ---- interfaces ---- */

const char *lbpf_attachcause_interface(lua_State *L, const struct lbpf_target *to)
{
	char name[IF_NAMESIZE];

	if (if_indextoname((unsigned int)to->ifindex, name) || (errno != ENXIO && errno != ENODEV))
		return NULL;
	return lua_pushfstring(L, "there is no network interface with index %d", to->ifindex);
}

static bool has_generic_xdp(int ifindex)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, opts);

	return bpf_xdp_query(ifindex, 0, &opts) == 0 && opts.attach_mode == XDP_ATTACHED_SKB;
}

const char *lbpf_attachcause_xdp(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to, int err)
{
	bool netlink = to->netlink || to->replace || to->replaced;

	(void)p;
	switch (err) {
	case ERANGE:
		return "the MTU of the interface, or of its peer, is too large for packets in one piece: lower it, "
		       "take "
		       "SEC(\"xdp.frags\"), or mode \"skb\"";
	case EEXIST:
		return has_generic_xdp(to->ifindex) ? "a program is attached in mode \"skb\", and native and generic "
						      "ones can't both be active"
						    : "a program is attached in native mode, and native and generic "
						      "ones (mode \"skb\") can't both be active";
	case EBUSY:
		return to->replace ? "the program that is attached has a link: link:update replaces it"
				   : "the interface has a program already";
	case EOPNOTSUPP: /* with netlink the kernel returns a message */
		return netlink || !to->flags ? NULL
					     : "the interface's driver, as it is set up, takes no programs in this "
					       "mode; mode \"skb\" needs no driver";
	case EINVAL:
	case ENODEV:
		return lbpf_attachcause_interface(L, to);
	default:
		return NULL;
	}
}

const char *lbpf_attachcause_mprog(int err)
{
	static const struct row rows[] = {
		{ ESTALE, "the list of programs has changed since it had the revision of option 'expected_revision'" },
		{ EEXIST, "the program is in the list already" },
		{ ENXIO, "the interface is not of type netkit" },
		{ EACCES, "this is the peer: programs for both ends attach to the primary interface" },
		{ 0, NULL },
	};

	return find(rows, err);
}

/* ---- netfilter ---- */

const char *lbpf_attachcause_netfilter(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to,
				       int err)
{
	static const struct row rows[] = {
		{ EBUSY, "the hook has a program with this priority; option 'priority' must be another" },
		{ EAFNOSUPPORT, "option 'pf' must be \"ipv4\" or \"ipv6\"" },
		{ EPROTO, "there is no such hook; see option 'hooknum'" },
		{ 0, NULL },
	};

	(void)L;
	(void)p;
	if (err == ERANGE && to->flags)
		return "option 'priority' must be from -399 to 2147483646 with the flag \"defrag\"";
	if (err == ERANGE)
		return "option 'priority' must be from -2147483647 to 2147483646";
	return find(rows, err);
}

/* ---- network namespaces, cgroups ---- */

const char *lbpf_attachcause_netns(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to, int err)
{
	static const struct row rows[] = {
		{ E2BIG, "the namespace has as many programs of this type as it takes" },
		{ EEXIST, "a flow dissector of the initial namespace is in the way, or of others" },
		{ 0, NULL },
	};

	(void)L;
	(void)p;
	if (err == EINVAL && ioctl(to->fd, NS_GET_NSTYPE) != CLONE_NEWNET)
		return "this is no network namespace, as /proc/self/ns/net is";
	return find(rows, err);
}

#define CGROUP2_MAGIC 0x63677270
#define CGROUP_MAGIC 0x27e0eb

const char *lbpf_no_cgroup(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) || fs.f_type == CGROUP2_MAGIC)
		return NULL;
	return fs.f_type == CGROUP_MAGIC ? "this is a cgroup of version 1; programs attach to cgroups of version 2"
					 : "this is no cgroup of version 2";
}

const char *lbpf_attachcause_cgroup(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to, int err)
{
	const char *why = lbpf_no_cgroup(to->fd);

	if (why)
		return why;
	if (err == EPERM && lbpf_has_capabilities("CAP_NET_ADMIN"))
		return "another program holds this cgroup, or one above it, alone (attached without the flag multi)";
	return lbpf_opened_cause(L, p, to, err);
}

/* ---- sockets ---- */

const char *lbpf_attachcause_socket(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to, int err)
{
	int locked = 0;
	socklen_t len = sizeof(locked);

	(void)L;
	(void)p;
	if (err == EPERM && getsockopt(to->fd, SOL_SOCKET, SO_LOCK_FILTER, &locked, &len) == 0 && locked)
		return "the socket's filter is locked (SO_LOCK_FILTER)";
	return NULL;
}

const char *lbpf_attachcause_reuseport(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to,
				       int err)
{
	if (err == EINVAL)
		return "the socket was not bound with SO_REUSEPORT";
	return lbpf_attachcause_socket(L, p, to, err);
}
