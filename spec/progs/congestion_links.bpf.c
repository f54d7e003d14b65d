// SPDX-License-Identifier: MIT
// Two TCP congestion controls of one name, in the section whose maps get links: one may take the other's place.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct sock {
};

struct tcp_congestion_ops {
	void (*init)(struct sock *sk);
	__u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, __u32 ack, __u32 acked);
	__u32 (*undo_cwnd)(struct sock *sk);
	char name[16];
};

#pragma clang attribute pop

__u64 first_started; /* connections */
__u64 second_started;

SEC("struct_ops/first_init")
void BPF_PROG(first_init, struct sock *sk)
{
	__sync_fetch_and_add(&first_started, 1);
}

SEC("struct_ops/second_init")
void BPF_PROG(second_init, struct sock *sk)
{
	__sync_fetch_and_add(&second_started, 1);
}

SEC("struct_ops/threshold")
__u32 BPF_PROG(threshold, struct sock *sk)
{
	return 2;
}

SEC("struct_ops/avoid")
void BPF_PROG(avoid, struct sock *sk, __u32 ack, __u32 acked)
{
}

SEC("struct_ops/window")
__u32 BPF_PROG(window, struct sock *sk)
{
	return 10;
}

SEC(".struct_ops.link")
struct tcp_congestion_ops first = {
	.init = (void *)first_init,
	.ssthresh = (void *)threshold,
	.cong_avoid = (void *)avoid,
	.undo_cwnd = (void *)window,
	.name = "lbpf_linked",
};

SEC(".struct_ops.link")
struct tcp_congestion_ops second = {
	.init = (void *)second_init,
	.ssthresh = (void *)threshold,
	.cong_avoid = (void *)avoid,
	.undo_cwnd = (void *)window,
	.name = "lbpf_linked",
};

char LICENSE[] SEC("license") = "GPL";
