// SPDX-License-Identifier: GPL-2.0 OR MIT
/* One program for each kind of link, none of which does anything. */
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} pairs SEC(".maps");

SEC("raw_tp/sys_enter")
int on_enter(void *ctx)
{
	return 0;
}

SEC("tp/sched/sched_process_exec")
int on_exec(void *ctx)
{
	return 0;
}

SEC("uprobe/libc.so.6:getppid")
int on_getppid(void *ctx)
{
	return 0;
}

SEC("uretprobe/libc.so.6:getppid")
int on_return(void *ctx)
{
	return 0;
}

SEC("iter/task")
int each_task(void *ctx)
{
	return 0;
}

SEC("iter/bpf_map")
int each_map(void *ctx)
{
	__u32 key = 0;

	bpf_map_lookup_elem(&pairs, &key);
	return 0;
}

SEC("cgroup_skb/egress")
int on_egress(struct __sk_buff *skb)
{
	return 1;
}

SEC("sk_lookup")
int on_lookup(struct bpf_sk_lookup *ctx)
{
	return SK_PASS;
}

SEC("xdp")
int on_packet(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("tc")
int on_ingress(struct __sk_buff *skb)
{
	return -1; /* TCX_NEXT */
}

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} sockets SEC(".maps");

SEC("sk_msg")
int on_message(struct sk_msg_md *msg)
{
	return SK_PASS;
}

char LICENSE[] SEC("license") = "GPL";
