/* SPDX-License-Identifier: MIT */
/* Attaching programs for which libbpf has no struct, because they were opened by pin or id: by libbpf's low-level
 * functions.
 *
 * The kernel doesn't tell which attach type a program was loaded for. If its program type has only one attach type,
 * that is used. If the kernel refuses all but the right one, all are tried. Otherwise the option attach_type must name
 * it. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <linux/bpf.h>

#include <lauxlib.h>

#include "base/syscall.h"
#include "program/attach.h"
#include "program/program.h"

/* BPF_NETFILTER, of kernel 6.4 and libbpf 1.3, which older headers lack. */
enum { NETFILTER = 45 };

/* The attach types of each program type. */
static const struct row {
	uint32_t program;
	/* The kernel accepts each of them for any program of the type, so the script must name one. */
	bool several;
	int types[14];
} rows[] = {
	{ BPF_PROG_TYPE_XDP, false, { BPF_XDP } },
	{ BPF_PROG_TYPE_FLOW_DISSECTOR, false, { BPF_FLOW_DISSECTOR } },
	{ BPF_PROG_TYPE_SK_LOOKUP, false, { BPF_SK_LOOKUP } },
	{ BPF_PROG_TYPE_SK_MSG, false, { BPF_SK_MSG_VERDICT } },
	{ BPF_PROG_TYPE_SK_SKB, true, { 0 } },
	{ BPF_PROG_TYPE_SCHED_CLS, true, { 0 } },
	{ LBPF_PROG_TYPE_NETFILTER, false, { NETFILTER } },
	{ BPF_PROG_TYPE_CGROUP_SKB, true, { 0 } },
	{ BPF_PROG_TYPE_CGROUP_DEVICE, false, { BPF_CGROUP_DEVICE } },
	{ BPF_PROG_TYPE_CGROUP_SYSCTL, false, { BPF_CGROUP_SYSCTL } },
	{ BPF_PROG_TYPE_SOCK_OPS, false, { BPF_CGROUP_SOCK_OPS } },
	{ BPF_PROG_TYPE_CGROUP_SOCKOPT, false, { BPF_CGROUP_GETSOCKOPT, BPF_CGROUP_SETSOCKOPT } },
	{ BPF_PROG_TYPE_CGROUP_SOCK,
	  false,
	  { BPF_CGROUP_INET_SOCK_CREATE, BPF_CGROUP_INET_SOCK_RELEASE, BPF_CGROUP_INET4_POST_BIND,
	    BPF_CGROUP_INET6_POST_BIND } },
	{ BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
	  false,
	  { BPF_CGROUP_INET4_BIND, BPF_CGROUP_INET6_BIND, BPF_CGROUP_INET4_CONNECT, BPF_CGROUP_INET6_CONNECT,
	    BPF_CGROUP_UDP4_SENDMSG, BPF_CGROUP_UDP6_SENDMSG, BPF_CGROUP_UDP4_RECVMSG, BPF_CGROUP_UDP6_RECVMSG,
	    BPF_CGROUP_INET4_GETPEERNAME, BPF_CGROUP_INET6_GETPEERNAME, BPF_CGROUP_INET4_GETSOCKNAME,
	    BPF_CGROUP_INET6_GETSOCKNAME } },
	{ BPF_PROG_TYPE_LSM, false, { BPF_LSM_CGROUP, BPF_LSM_MAC } },
	{ BPF_PROG_TYPE_TRACING,
	  false,
	  { BPF_TRACE_FENTRY, BPF_TRACE_FEXIT, BPF_MODIFY_RETURN, BPF_TRACE_RAW_TP, BPF_TRACE_ITER } },
};

static const struct row *find_row(const struct lbpf_program *p)
{
	uint32_t type = p->prog ? (uint32_t)bpf_program__type(p->prog) : p->type;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (rows[i].program == type)
			return &rows[i];
	return NULL;
}

int lbpf_opened_type(const struct lbpf_program *p, const struct lbpf_target *to)
{
	const struct row *row = find_row(p);

	if (to->type >= 0)
		return to->type;
	return row && !row->several ? row->types[0] : -1;
}

/* Creates a link with the first attach type that the kernel accepts: it refuses a wrong one before it checks anything
 * else. */
static int create(struct lbpf_link *link, const struct lbpf_program *p, int target,
		  const struct bpf_link_create_opts *opts, const struct lbpf_target *to)
{
	const struct row *row = find_row(p);
	int only[] = { lbpf_opened_type(p, to), 0 };
	const int *type = to->type >= 0 || !row || row->several ? only : row->types;

	if (*type < 0)
		return EINVAL;
	do {
		link->fd = bpf_link_create(lbpf_program_descriptor(p), target, (enum bpf_attach_type) * type, opts);
	} while (link->fd < 0 && errno == EINVAL && *++type);
	return link->fd < 0 ? errno : 0;
}

/* The part of libbpf's options that depends on the attach type is at the same place in all versions. The header may be
 * too old to have names for its members. */
static void put_part(struct bpf_link_create_opts *opts, const void *part, size_t size)
{
	memcpy(&opts->perf_event, part, size);
}

_Static_assert(sizeof(struct bpf_link_create_opts) >= offsetof(struct bpf_link_create_opts, perf_event) + 16,
	       "room for what put_part is given");

static int create_in_list(struct lbpf_link *link, const struct lbpf_program *p, int target,
			  const struct lbpf_target *to)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = to->flags);
	const struct {
		uint32_t fd, id;
		uint64_t revision;
	} part = { to->relative_fd, to->relative_id, to->expected_revision };

	if (part.fd || part.id || part.revision)
		put_part(&opts, &part, sizeof(part));
	return create(link, p, target, &opts, to);
}

int lbpf_opened_interface(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	return create_in_list(link, p, to->ifindex, to);
}

int lbpf_opened_target(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	return create_in_list(link, p, to->fd, to);
}

int lbpf_opened_netfilter(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts);
	const struct {
		uint32_t pf, hooknum;
		int32_t priority;
		uint32_t flags;
	} part = { to->pf, to->hooknum, to->netfilter_priority, to->flags };

	put_part(&opts, &part, sizeof(part));
	return create(link, p, 0, &opts, to);
}

/* The arguments of BPF_RAW_TRACEPOINT_OPEN. Headers of older kernels lack the cookie, and libbpf's function as well. */
struct raw_tracepoint {
	uint64_t name;
	uint32_t prog_fd, : 32;
	uint64_t cookie;
};

_Static_assert(sizeof(union bpf_attr) >= sizeof(struct raw_tracepoint), "room for the cookie");

/* Kernels before 6.9, which know no cookie, find the arguments too long. */
static int open_with_cookie(const struct lbpf_target *to, int prog)
{
	const struct raw_tracepoint given = { (uintptr_t)to->name, (uint32_t)prog, to->cookie };
	union bpf_attr attr;
	long fd;

	memcpy(&attr, &given, sizeof(given));
	fd = lbpf_sys_bpf(BPF_RAW_TRACEPOINT_OPEN, &attr, sizeof(given));
	if (fd < 0)
		errno = fd == -E2BIG ? EOPNOTSUPP : (int)-fd;
	return fd < 0 ? -1 : (int)fd;
}

int lbpf_opened_raw_tracepoint(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	int fd = lbpf_program_descriptor(p);

	link->fd = to->cookie ? open_with_cookie(to, fd) : bpf_raw_tracepoint_open(to->name, fd);
	return link->fd < 0 ? errno : 0;
}

/* The kernel knows the attach type that the program was loaded for. */
int lbpf_opened_hook(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts);

	if (!to->cookie)
		return lbpf_opened_raw_tracepoint(link, p, to);
	put_part(&opts, &to->cookie, sizeof(to->cookie));
	return create(link, p, 0, &opts, to);
}

/* Finds the id of a function in the BTF of the program that has the function. */
static int find_function(int fd, const char *name, uint32_t *id)
{
	struct lbpf_program_info info;
	struct btf *btf;
	int err = lbpf_program_fetch_info(fd, &info), found;

	if (err)
		return err;
	btf = btf__load_from_kernel_by_id(info.kernel.btf_id);
	if (!btf)
		return errno;
	found = btf__find_by_name_kind(btf, name, BTF_KIND_FUNC);
	btf__free(btf);
	*id = (uint32_t)found;
	return found < 0 ? -found : 0;
}

int lbpf_opened_freplace(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts);
	int fd = lbpf_program_descriptor(to->target), err = fd < 0 ? EBADF : 0;

	if (!err)
		err = find_function(fd, to->func_name, &opts.target_btf_id);
	if (err)
		return err;
	link->fd = bpf_link_create(lbpf_program_descriptor(p), fd, 0, &opts);
	return link->fd < 0 ? errno : 0;
}

int lbpf_opened_iter(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .iter_info = to->iter,
		    .iter_info_len = to->iter ? sizeof(union bpf_iter_link_info) : 0);

	link->fd = bpf_link_create(lbpf_program_descriptor(p), 0, BPF_TRACE_ITER, &opts);
	return link->fd < 0 ? errno : 0;
}

const char *lbpf_opened_cause(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to, int err)
{
	if (p->prog || err != EINVAL || lbpf_opened_type(p, to) >= 0)
		return NULL;
	return lua_pushfstring(L,
			       "an opened program doesn't tell what it is for: option 'attach_type' must, \"%s\" say",
			       p->type == BPF_PROG_TYPE_SK_SKB ? "sk_skb_stream_verdict" : "cgroup_inet_ingress");
}
