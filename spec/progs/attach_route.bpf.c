// SPDX-License-Identifier: MIT
// Programs that routes and traffic control run, to which iproute2 attaches them.
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

__u64 seen;
__u32 verdict;

#define ON_ROUTE(section, name)                 \
	SEC(section)                            \
	int name(struct __sk_buff *skb)         \
	{                                       \
		__sync_fetch_and_add(&seen, 1); \
		return verdict;                 \
	}

ON_ROUTE("lwt_in", on_in)
ON_ROUTE("lwt_out", on_out)
ON_ROUTE("lwt_xmit", on_xmit)
ON_ROUTE("lwt_seg6local", on_seg6local)
ON_ROUTE("action", on_action)

char LICENSE[] SEC("license") = "GPL";
