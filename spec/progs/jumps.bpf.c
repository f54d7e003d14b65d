// SPDX-License-Identifier: MIT
// Tail calls through a prog_array that Lua fills.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define SLOTS 4

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, __u32);
} jump SEC(".maps");

__u32 target;
__u64 stayed; /* how often a slot was empty */

SEC("xdp")
int enter(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &jump, target);
	__sync_fetch_and_add(&stayed, 1);
	return 1;
}

SEC("xdp")
int eleven(struct xdp_md *ctx)
{
	return 11;
}

SEC("xdp")
int twelve(struct xdp_md *ctx)
{
	return 12;
}

/* Jumps on: to itself until the kernel's limit, if its slot is its own. */
SEC("xdp")
int onward(struct xdp_md *ctx)
{
	__sync_fetch_and_add(&stayed, 1);
	bpf_tail_call(ctx, &jump, 3);
	return 13;
}

SEC("raw_tp")
int other_type(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
