// SPDX-License-Identifier: MIT
// A program with a function that another program may replace: its own answer is 1.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__attribute__((noinline)) int verdict(struct xdp_md *ctx)
{
	volatile int answer = XDP_DROP;

	return answer;
}

SEC("xdp")
int whole(struct xdp_md *ctx)
{
	return verdict(ctx);
}

char LICENSE[] SEC("license") = "GPL";
