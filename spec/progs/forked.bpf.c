// SPDX-License-Identifier: MIT
// What is attached by a process that forks: programs that count what they see, and drop it.
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

__u64 seen;

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} socks SEC(".maps");

SEC("xdp")
int by_xdp(struct xdp_md *ctx)
{
	__sync_fetch_and_add(&seen, 1);
	return XDP_DROP;
}

SEC("tc")
int by_tc(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&seen, 1);
	return TC_ACT_SHOT;
}

SEC("socket")
int by_socket(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&seen, 1);
	return 0;
}

SEC("sk_skb/stream_verdict")
int by_map(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&seen, 1);
	return SK_DROP;
}

char LICENSE[] SEC("license") = "GPL";
