// SPDX-License-Identifier: MIT
// A TCP congestion control with a window that never grows, which counts what the kernel asks it.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct sock {
};

struct inet_connection_sock {
};

struct tcp_sock {
	__u32 snd_cwnd;
	__u32 snd_ssthresh;
};

struct rate_sample {
};

struct ack_sample {
};

struct tcp_congestion_ops {
	void (*init)(struct sock *sk);
	void (*release)(struct sock *sk);
	__u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, __u32 ack, __u32 acked);
	__u32 (*undo_cwnd)(struct sock *sk);
	char name[16];
};

#pragma clang attribute pop

__u64 started; /* connections */
__u64 ended;
__u64 acknowledged; /* segments */

SEC("struct_ops/lbpf_init")
void BPF_PROG(lbpf_init, struct sock *sk)
{
	__sync_fetch_and_add(&started, 1);
}

SEC("struct_ops/lbpf_release")
void BPF_PROG(lbpf_release, struct sock *sk)
{
	__sync_fetch_and_add(&ended, 1);
}

SEC("struct_ops/lbpf_ssthresh")
__u32 BPF_PROG(lbpf_ssthresh, struct sock *sk)
{
	return 2;
}

SEC("struct_ops/lbpf_cong_avoid")
void BPF_PROG(lbpf_cong_avoid, struct sock *sk, __u32 ack, __u32 acked)
{
	__sync_fetch_and_add(&acknowledged, acked);
}

SEC("struct_ops/lbpf_undo_cwnd")
__u32 BPF_PROG(lbpf_undo_cwnd, struct sock *sk)
{
	return 10;
}

SEC(".struct_ops")
struct tcp_congestion_ops lbpf = {
	.init = (void *)lbpf_init,
	.release = (void *)lbpf_release,
	.ssthresh = (void *)lbpf_ssthresh,
	.cong_avoid = (void *)lbpf_cong_avoid,
	.undo_cwnd = (void *)lbpf_undo_cwnd,
	.name = "lbpf_cc",
};

char LICENSE[] SEC("license") = "GPL";
