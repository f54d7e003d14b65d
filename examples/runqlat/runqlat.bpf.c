// SPDX-License-Identifier: MIT
// Measures how long threads that could run wait for a CPU, in powers of two.
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

// What we read of the kernel's own structures; libbpf fits the offsets to the running kernel.
struct task_struct {
	unsigned int __state;
	int pid;
	int tgid;
	char comm[16];
} __attribute__((preserve_access_index));

struct task_struct___before_5_14 {
	long state;
} __attribute__((preserve_access_index));

const volatile int target_pid = 0;   // 0: every process
const volatile _Bool by_process = 0; // else all of them together

// Since when each thread waits. One that ends waiting stays, so this is bounded.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, int);
	__type(value, __u64);
} waiting SEC(".maps");

struct waits {
	__u64 ns;
	__u64 slots[64]; // slots[i]: from 2^i to 2^(i+1) ns
};

// By process; of all processes together, by 0. Each CPU counts for itself, and needn't wait for the others. When there
// are too many processes, those that were quiet longest are forgotten.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
	__uint(max_entries, 1024);
	__type(key, int);
	__type(value, struct waits);
} waits SEC(".maps");

typedef char name[16];

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, int);
	__type(value, name);
} names SEC(".maps");

static const struct waits none; // too large for the stack

static __always_inline __u32 log2(__u64 n)
{
	__u32 log = 0;

	for (__u32 shift = 32; shift; shift /= 2)
		if (n >> shift) {
			n >>= shift;
			log += shift;
		}
	return log;
}

static __always_inline int begin(struct task_struct *task)
{
	int pid = BPF_CORE_READ(task, pid);
	__u64 now = bpf_ktime_get_ns();

	if (pid && (!target_pid || target_pid == BPF_CORE_READ(task, tgid))) // 0: a CPU that has nothing to do
		bpf_map_update_elem(&waiting, &pid, &now, BPF_ANY);
	return 0;
}

SEC("raw_tp/sched_wakeup")
int wakeup(struct bpf_raw_tracepoint_args *ctx)
{
	return begin((void *)ctx->args[0]);
}

SEC("raw_tp/sched_wakeup_new")
int wakeup_new(struct bpf_raw_tracepoint_args *ctx)
{
	return begin((void *)ctx->args[0]);
}

static __always_inline int runnable(struct task_struct *task)
{
	struct task_struct___before_5_14 *old = (void *)task;

	if (bpf_core_field_exists(task->__state))
		return BPF_CORE_READ(task, __state) == 0;
	return BPF_CORE_READ(old, state) == 0;
}

static __always_inline struct waits *waits_of(struct task_struct *task)
{
	int tgid = by_process ? BPF_CORE_READ(task, tgid) : 0;
	struct waits *mine = bpf_map_lookup_elem(&waits, &tgid);
	name comm = {};

	if (!mine) {
		bpf_map_update_elem(&waits, &tgid, &none, BPF_NOEXIST);
		mine = bpf_map_lookup_elem(&waits, &tgid);
	}
	if (by_process) { // each time: it may have executed another program
		BPF_CORE_READ_STR_INTO(&comm, task, comm);
		bpf_map_update_elem(&names, &tgid, &comm, BPF_ANY);
	}
	return mine;
}

SEC("raw_tp/sched_switch")
int sched_switch(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *before = (void *)ctx->args[1], *next = (void *)ctx->args[2];
	int pid = BPF_CORE_READ(next, pid);
	struct waits *mine;
	__u64 *since, ns;

	if (runnable(before)) // it had to go, and waits from now on
		begin(before);
	since = bpf_map_lookup_elem(&waiting, &pid);
	if (!since)
		return 0;
	mine = waits_of(next);
	if (!mine)
		return 0;
	ns = bpf_ktime_get_ns() - *since;
	mine->ns += ns;
	mine->slots[log2(ns) & 63]++;
	bpf_map_delete_elem(&waiting, &pid);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
