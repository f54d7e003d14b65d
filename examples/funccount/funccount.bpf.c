// SPDX-License-Identifier: MIT
// Counts the calls of functions of programs: of which one, the cookie of each attachment says. Of all of them together,
// how long the calls take, or how large one argument is, in powers of two.
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

const volatile int argument = 0; // which one's values to count, from 1; 0: none
const volatile _Bool latency = 0;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 512);
	__type(key, __u32);
	__type(value, __u64);
} calls SEC(".maps");

// When each thread's call of a function began. A call within a call of the same function begins anew.
struct call {
	__u32 tid;
	__u32 function;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct call);
	__type(value, __u64);
} begun SEC(".maps");

__u64 slots[64]; // slots[i]: from 2^i to 2^(i+1)

static __always_inline void enter(__u64 n)
{
	__u32 log = 0;

	for (__u32 shift = 32; shift; shift /= 2)
		if (n >> shift) {
			n >>= shift;
			log += shift;
		}
	__sync_fetch_and_add(&slots[log & 63], 1);
}

// The verifier wants to see which register is read, so all are.
static __always_inline __u64 parameter(struct pt_regs *ctx)
{
	volatile __u64 values[8] = { 0 };

	values[1] = PT_REGS_PARM1(ctx);
	values[2] = PT_REGS_PARM2(ctx);
	values[3] = PT_REGS_PARM3(ctx);
	values[4] = PT_REGS_PARM4(ctx);
	values[5] = PT_REGS_PARM5(ctx);
	return values[argument & 7];
}

SEC("uprobe")
int on_call(struct pt_regs *ctx)
{
	struct call call = { .tid = bpf_get_current_pid_tgid(), .function = bpf_get_attach_cookie(ctx) };
	__u64 *count = bpf_map_lookup_elem(&calls, &call.function), now;

	if (count)
		(*count)++;
	if (argument)
		enter(parameter(ctx));
	if (latency) {
		now = bpf_ktime_get_ns();
		bpf_map_update_elem(&begun, &call, &now, BPF_ANY);
	}
	return 0;
}

SEC("uretprobe")
int on_return(struct pt_regs *ctx)
{
	struct call call = { .tid = bpf_get_current_pid_tgid(), .function = bpf_get_attach_cookie(ctx) };
	__u64 *since = bpf_map_lookup_elem(&begun, &call);

	if (!since)
		return 0;
	enter(bpf_ktime_get_ns() - *since);
	bpf_map_delete_elem(&begun, &call);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
