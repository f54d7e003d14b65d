/* SPDX-License-Identifier: MIT */
/* The table of program types: since when the kernel has them, and what loading one needs. */
#include "program/kinds.h"

#include <stddef.h>

#include <bpf/libbpf.h>
#include <linux/bpf.h>

#define NETFILTER_HOOK 45 /* BPF_NETFILTER */

#define NET "CAP_BPF or CAP_NET_ADMIN"
#define TRACE "CAP_BPF or CAP_PERFMON"

static const struct lbpf_progkind kinds[] = {
	[BPF_PROG_TYPE_SOCKET_FILTER] = { "3.19", NULL, 0, 0 },
	[BPF_PROG_TYPE_KPROBE] = { "4.1", TRACE, 0, 0 },
	[BPF_PROG_TYPE_SCHED_CLS] = { "4.1", NET, 0, 0 },
	[BPF_PROG_TYPE_SCHED_ACT] = { "4.1", NET, 0, 0 },
	[BPF_PROG_TYPE_TRACEPOINT] = { "4.7", TRACE, 0, 0 },
	[BPF_PROG_TYPE_XDP] = { "4.8", NET, 0, 0 },
	[BPF_PROG_TYPE_PERF_EVENT] = { "4.9", TRACE, 0, 0 },
	[BPF_PROG_TYPE_CGROUP_SKB] = { "4.10", NULL, 0, 0 },
	[BPF_PROG_TYPE_CGROUP_SOCK] = { "4.10", NET, 0, 0 },
	[BPF_PROG_TYPE_LWT_IN] = { "4.10", NET, 0, 0 },
	[BPF_PROG_TYPE_LWT_OUT] = { "4.10", NET, 0, 0 },
	[BPF_PROG_TYPE_LWT_XMIT] = { "4.10", NET, 0, 0 },
	[BPF_PROG_TYPE_SOCK_OPS] = { "4.13", NET, 0, 0 },
	[BPF_PROG_TYPE_SK_SKB] = { "4.14", NET, 0, 0 },
	[BPF_PROG_TYPE_CGROUP_DEVICE] = { "4.15", NET, 0, 0 },
	[BPF_PROG_TYPE_SK_MSG] = { "4.17", NET, 0, 0 },
	[BPF_PROG_TYPE_RAW_TRACEPOINT] = { "4.17", TRACE, 0, 0 },
	[BPF_PROG_TYPE_CGROUP_SOCK_ADDR] = { "4.17", NET, BPF_CGROUP_INET4_CONNECT, 0 },
	[BPF_PROG_TYPE_LWT_SEG6LOCAL] = { "4.18", NET, 0, 0 },
	[BPF_PROG_TYPE_LIRC_MODE2] = { "4.18", NULL, 0, 0 },
	[BPF_PROG_TYPE_SK_REUSEPORT] = { "4.19", NULL, 0, 0 },
	[BPF_PROG_TYPE_FLOW_DISSECTOR] = { "4.20", NET, 0, 0 },
	[BPF_PROG_TYPE_CGROUP_SYSCTL] = { "5.2", NET, 0, 0 },
	[BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE] = { "5.2", TRACE, 0, 0 },
	[BPF_PROG_TYPE_CGROUP_SOCKOPT] = { "5.3", NET, BPF_CGROUP_GETSOCKOPT, 0 },
	[BPF_PROG_TYPE_TRACING] = { "5.5", TRACE, 0, 0 },
	[BPF_PROG_TYPE_STRUCT_OPS] = { "5.6", TRACE, 0, 0 },
	[BPF_PROG_TYPE_EXT] = { "5.6", TRACE, 0, 0 },
	[BPF_PROG_TYPE_LSM] = { "5.7", TRACE, 0, 0 },
	[BPF_PROG_TYPE_SK_LOOKUP] = { "5.9", NET, BPF_SK_LOOKUP, 0 },
	[BPF_PROG_TYPE_SYSCALL] = { "5.14", NULL, 0, BPF_F_SLEEPABLE },
	[LBPF_PROG_TYPE_NETFILTER] = { "6.4", NET, NETFILTER_HOOK, 0 },
};

const struct lbpf_progkind *lbpf_progkind_of(uint32_t type)
{
	return type < sizeof(kinds) / sizeof(*kinds) && kinds[type].since ? &kinds[type] : NULL;
}

const char *lbpf_progkind_needs(uint32_t type)
{
	const struct lbpf_progkind *kind = lbpf_progkind_of(type);

	return kind && kind->needs ? kind->needs : "CAP_BPF";
}

const char *lbpf_program_type_name(uint32_t type)
{
	const char *name = libbpf_bpf_prog_type_str((enum bpf_prog_type)type);

	return name ? name : type == LBPF_PROG_TYPE_NETFILTER ? "netfilter" : NULL;
}
