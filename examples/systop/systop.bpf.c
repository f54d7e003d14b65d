// SPDX-License-Identifier: MIT
// Counts what each process asks of the machine: time on CPUs, system calls with their errors and times, switches.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct use {
	__u64 cpu_ns;
	__u64 switches; // how often a thread left a CPU
	__u64 calls;
	__u64 errors;  // of those calls
	__u64 call_ns; // in those calls, also asleep
};

struct process {
	char comm[16];
};

// Each CPU counts for itself, and needn't wait for the others. When there are too many processes, those that were quiet
// longest are forgotten.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, struct use);
} uses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, struct process);
} processes SEC(".maps");

// When each thread's call began.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, __u64);
} begun SEC(".maps");

// Since when the current thread has this CPU.
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} since SEC(".maps");

// What the current process uses, or NULL for a CPU that has nothing to do.
static __always_inline struct use *current_use(void)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct use none = {}, *use;
	struct process process = {};

	if (!pid)
		return 0;
	use = bpf_map_lookup_elem(&uses, &pid);
	if (!use) {
		bpf_map_update_elem(&uses, &pid, &none, BPF_NOEXIST);
		use = bpf_map_lookup_elem(&uses, &pid);
	}
	if (use && !(use->calls & 0xff)) { // now and then: a program may have been executed
		bpf_get_current_comm(process.comm, sizeof(process.comm));
		bpf_map_update_elem(&processes, &pid, &process, BPF_ANY);
	}
	return use;
}

SEC("raw_tp/sys_enter")
int sys_enter(void *ctx)
{
	__u32 tid = bpf_get_current_pid_tgid();
	__u64 now = bpf_ktime_get_ns();

	bpf_map_update_elem(&begun, &tid, &now, BPF_ANY);
	return 0;
}

SEC("raw_tp/sys_exit")
int sys_exit(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 tid = bpf_get_current_pid_tgid();
	__u64 *began = bpf_map_lookup_elem(&begun, &tid);
	struct use *use = current_use();
	long result = ctx->args[1];

	if (!use || !began)
		return 0;
	use->calls++;
	use->call_ns += bpf_ktime_get_ns() - *began;
	if (result < 0 && result >= -4095)
		use->errors++;
	return 0;
}

// The thread that leaves the CPU is still the current one.
SEC("raw_tp/sched_switch")
int sched_switch(void *ctx)
{
	__u64 now = bpf_ktime_get_ns(), *began;
	struct use *use = current_use();
	__u32 zero = 0;

	began = bpf_map_lookup_elem(&since, &zero);
	if (!began)
		return 0;
	if (use && *began) {
		use->cpu_ns += now - *began;
		use->switches++;
	}
	*began = now;
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
