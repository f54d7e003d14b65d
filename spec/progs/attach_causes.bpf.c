/* SPDX-License-Identifier: MIT */
/* Programs that do nothing, for what is refused. */
#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/ptrace.h>

#include <bpf/bpf_helpers.h>
#include <bpf/usdt.bpf.h>

SEC("xdp")
int whole(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("?xdp.frags")
int in_parts(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("tc")
int filter(struct __sk_buff *skb)
{
	return 0;
}

SEC("uprobe")
int probe(void *ctx)
{
	return 0;
}

SEC("uprobe/libc.so.6:posix_spawn")
int of_version(void *ctx)
{
	return 0;
}

SEC("uprobe/libc.so.6:memcpy")
int of_chosen(void *ctx)
{
	return 0;
}

SEC("?uprobe.multi/libc.so.6:posix_spawn")
int of_many(void *ctx)
{
	return 0;
}

SEC("usdt/libc.so.6:lbpf:nothing")
int of_no_mark(void *ctx)
{
	return 0;
}

SEC("kprobe/lbpf_nothing")
int of_no_function(void *ctx)
{
	return 0;
}

SEC("raw_tp/lbpf_nothing")
int of_no_tracepoint(void *ctx)
{
	return 0;
}

SEC("flow_dissector")
int dissect(struct __sk_buff *skb)
{
	return BPF_OK;
}

SEC("perf_event")
int sample(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
