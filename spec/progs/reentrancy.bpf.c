// SPDX-License-Identifier: MIT
// A map whose value the load makes larger: the kernel's own struct takes the place of the one declared here.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct tcp_congestion_ops {
	__u32 (*ssthresh)(void *sk);
	void (*cong_avoid)(void *sk, __u32 ack, __u32 acked);
	__u32 (*undo_cwnd)(void *sk);
	char name[16];
} __attribute__((preserve_access_index));

SEC("struct_ops/ssthresh")
int ssthresh(void *ctx)
{
	return 10;
}

SEC("struct_ops/cong_avoid")
int cong_avoid(void *ctx)
{
	return 0;
}

SEC("struct_ops/undo_cwnd")
int undo_cwnd(void *ctx)
{
	return 10;
}

/* Never attached, so the kernel gets no such algorithm. */
SEC(".struct_ops")
struct tcp_congestion_ops algorithm = {
	.ssthresh = (void *)ssthresh,
	.cong_avoid = (void *)cong_avoid,
	.undo_cwnd = (void *)undo_cwnd,
	.name = "lbpf_spec",
};

char LICENSE[] SEC("license") = "GPL";
