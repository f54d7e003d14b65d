// SPDX-License-Identifier: MIT
// Programs that send records through perf buffers in all the ways readers have to cope with.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct note {
	__u32 seq;
	__u32 pid;
	__u64 square;
	char text[8];
};

struct list {
	__u32 count;
	__u32 item[];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
} notes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
} blobs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
} others SEC(".maps");

__u64 sent;
__u64 lost;
__u32 seen;
const volatile char target[16] = "";
const struct note *note_in_btf;
const struct list *list_in_btf;
static volatile __u64 scratch[256];
static volatile __u32 items[65];

/* Sends one, to `others` if asked to: 1 if there was room. Global, so that verifiers look into it once, not for every
 * turn of the loop.
 */
__attribute__((noinline)) int send_note(struct bpf_raw_tracepoint_args *ctx, __u32 seq, __u32 to_others)
{
	struct note n = { .seq = seq, .square = (__u64)seq * seq, .text = "note" };
	long error;

	n.pid = bpf_get_current_pid_tgid() >> 32;
	n.text[4] = '0' + seq % 10;
	if (to_others)
		error = bpf_perf_event_output(ctx, &others, BPF_F_CURRENT_CPU, &n, sizeof(n));
	else
		error = bpf_perf_event_output(ctx, &notes, BPF_F_CURRENT_CPU, &n, sizeof(n));
	if (error) {
		lost++;
		return 0;
	}
	sent++;
	return 1;
}

/* Returns how many found room. */
static __always_inline int send(struct bpf_raw_tracepoint_args *ctx, __u32 to_others)
{
	__u32 from = ctx->args[0], count = ctx->args[1], fitted = 0;

	for (__u32 i = 0; i < 256 && i < count; i++)
		fitted += send_note(ctx, from + i, to_others);
	return fitted;
}

/* A value that the compiler knows nothing about. */
static __always_inline __u32 again(__u32 value)
{
	asm volatile("" : "+r"(value));
	return value;
}

/* These run with the two numbers of a raw tracepoint's test run. */
SEC("raw_tp/send_notes")
int send_notes(struct bpf_raw_tracepoint_args *ctx)
{
	return send(ctx, 0);
}

SEC("raw_tp/send_others")
int send_others(struct bpf_raw_tracepoint_args *ctx)
{
	return send(ctx, 1);
}

/* One record of args[1] bytes, all of them the lowest of args[0]. */
SEC("raw_tp/send_blob")
int send_blob(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 byte = ctx->args[0] & 0xff, size = ctx->args[1];

	if (size == 0 || size > sizeof(scratch))
		return -1;
	for (__u32 i = 0; i < 256; i++)
		scratch[i] = byte * 0x0101010101010101;
	size = again(size);
	if (size > sizeof(scratch))
		return -1;
	return bpf_perf_event_output(ctx, &blobs, BPF_F_CURRENT_CPU, (void *)scratch, size);
}

/* One list of args[1] numbers, counting up from args[0]. */
SEC("raw_tp/send_list")
int send_list(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 from = ctx->args[0], count = ctx->args[1];

	if (count > 64)
		return -1;
	items[0] = count;
	for (__u32 i = 0; i < 64 && i < count; i++)
		items[1 + i] = from + i;
	count = again(count);
	if (count > 64)
		return -1;
	return bpf_perf_event_output(ctx, &blobs, BPF_F_CURRENT_CPU, (void *)items, 4 + 4 * count);
}

/* A record for every process called target. */
SEC("raw_tp/sys_enter")
int on_process(void *ctx)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct note n = { .seq = 1, .pid = pid, .text = "process" };
	char comm[16] = {};

	bpf_get_current_comm(comm, sizeof(comm));
	for (int i = 0; i < 16; i++) {
		if (comm[i] != target[i])
			return 0;
		if (!comm[i])
			break;
	}
	if (pid == seen)
		return 0;
	seen = pid;
	n.square = bpf_get_smp_processor_id();
	bpf_perf_event_output(ctx, &notes, BPF_F_CURRENT_CPU, &n, sizeof(n));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
