// SPDX-License-Identifier: MIT
// What the benchmarks need in the kernel: a source of events, and variables to read and write.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct event { // 64 bytes, 4 members
	__u64 ts;
	__u32 pid;
	__u32 size;
	char comm[48];
};

struct request {
	__u32 count;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1024 * 1024);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
} samples SEC(".maps");

struct event *event_in_btf; // clang describes only types that something global mentions

__u64 counter; // .bss
__u64 sent;

SEC("syscall")
int send(struct request *request)
{
	__u32 count = request->count;

	for (__u32 i = 0; i < 4096 && i < count; i++) {
		struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

		if (!e)
			break;
		e->ts = i;
		e->pid = 1234;
		e->size = i;
		__builtin_memset(e->comm, 0, sizeof(e->comm));
		bpf_get_current_comm(e->comm, 16);
		bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
		sent++;
	}
	return 0;
}

/* The same through the perf buffer. */
SEC("raw_tp/send_samples")
int send_samples(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 count = ctx->args[0];

	for (__u32 i = 0; i < 4096 && i < count; i++) {
		struct event e = { .ts = i, .pid = 1234, .size = i };

		bpf_get_current_comm(e.comm, 16);
		if (bpf_perf_event_output(ctx, &samples, BPF_F_CURRENT_CPU, &e, sizeof(e)))
			break;
		sent++;
	}
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
