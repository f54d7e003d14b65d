// SPDX-License-Identifier: MIT
// What `make reentry` loads some thousand times: programs that need no BTF of the kernel, and that the verifier is done
// with at once. One sends records. Some variables are too large for the C stack.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct event {
	__u32 seq;
	char comm[16];
};

struct settings {
	__u32 level;
	char text[300];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} others SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} notes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} other_notes SEC(".maps");

const volatile struct settings settings = { .level = 3, .text = "default" };
__u64 sent;
__u32 step = 1;
struct settings current;
struct event *event_in_btf; /* clang describes only types that something global mentions */

struct numbers {
	__u32 a, b;
};

SEC("raw_tp")
int send(struct numbers *ctx)
{
	struct event e = { .seq = sent };

	sent += step;
	bpf_get_current_comm(e.comm, sizeof(e.comm));
	bpf_ringbuf_output(&events, &e, sizeof(e), 0);
	bpf_ringbuf_output(&events, &e, sizeof(e), 0);
	bpf_ringbuf_output(&others, &e, sizeof(e), 0);
	bpf_perf_event_output(ctx, &notes, BPF_F_CURRENT_CPU, &e, sizeof(e));
	bpf_perf_event_output(ctx, &notes, BPF_F_CURRENT_CPU, &e, sizeof(e));
	return settings.level + current.level;
}

SEC("xdp")
int pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
