// SPDX-License-Identifier: MIT
// Programs for lists of programs at a place, and for netfilter: sections that libbpf knows since 1.3.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__u64 order; /* the numbers of the programs that saw packets, a digit each */
__u64 seen;

SEC("tcx/ingress")
int one(struct __sk_buff *skb)
{
	order = order * 10 + 1;
	return -1;
}

SEC("tcx/ingress")
int two(struct __sk_buff *skb)
{
	order = order * 10 + 2;
	return -1;
}

SEC("tcx/ingress")
int three(struct __sk_buff *skb)
{
	order = order * 10 + 3;
	return -1;
}

SEC("netkit/primary")
int primary(struct __sk_buff *skb)
{
	seen++;
	return -1;
}

SEC("netfilter")
int hooked(void *ctx)
{
	seen++;
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
