// SPDX-License-Identifier: MIT
// Counts system calls and their time by process, their latencies in powers of two, and reports every exec.
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

// What we read of the kernel's own structures; libbpf fits the offsets to the running kernel.
struct task_struct {
	struct task_struct *real_parent;
	int tgid;
} __attribute__((preserve_access_index));

struct linux_binprm {
	const char *filename;
} __attribute__((preserve_access_index));

const volatile __u32 target_pid = 0; // 0: every process

struct process {
	__u64 count;
	__u64 ns;
	char comm[16];
};

// On a busy machine, processes that are long gone make room for new ones.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct process);
} processes SEC(".maps");

struct latency {
	__u64 slots[64]; // slots[i]: from 2^i to 2^(i+1) ns
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct latency);
} latencies SEC(".maps");

// When each thread entered the kernel. Not every entry has an exit (a thread may end there), so this is bounded, too.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, __u64);
} entered SEC(".maps");

struct exec {
	__u64 ns; // since boot
	__u32 pid;
	__u32 ppid;
	char comm[16];
	char file[128];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} execs SEC(".maps");

struct exec *exec_in_btf; // clang describes only types that something global mentions
__u64 lost;		  // execs that found the ring full

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

SEC("raw_tp/sys_enter")
int enter(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 id = bpf_get_current_pid_tgid(), now = bpf_ktime_get_ns(), *start;
	__u32 tid = id;

	if (target_pid && target_pid != id >> 32)
		return 0;
	start = bpf_map_lookup_elem(&entered, &tid);
	if (start)
		*start = now;
	else
		bpf_map_update_elem(&entered, &tid, &now, BPF_ANY);
	return 0;
}

static __always_inline void count_process(__u32 pid, __u64 ns)
{
	struct process *process = bpf_map_lookup_elem(&processes, &pid), fresh = {};

	if (!process) {
		bpf_get_current_comm(fresh.comm, sizeof(fresh.comm));
		bpf_map_update_elem(&processes, &pid, &fresh, BPF_NOEXIST);
		process = bpf_map_lookup_elem(&processes, &pid);
		if (!process)
			return;
	}
	if (!process->comm[0]) // first seen on another CPU
		bpf_get_current_comm(process->comm, sizeof(process->comm));
	process->count++;
	process->ns += ns;
}

SEC("raw_tp/sys_exit")
int leave(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 id = bpf_get_current_pid_tgid(), *start, ns;
	__u32 tid = id, zero = 0;
	struct latency *latency;

	start = bpf_map_lookup_elem(&entered, &tid);
	if (!start || !*start) // we came in between
		return 0;
	ns = bpf_ktime_get_ns() - *start;
	*start = 0;
	count_process(id >> 32, ns);
	latency = bpf_map_lookup_elem(&latencies, &zero);
	if (latency)
		latency->slots[log2(ns) & 63]++;
	return 0;
}

SEC("raw_tp/sched_process_exec")
int exec(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)ctx->args[0];
	struct linux_binprm *binary = (void *)ctx->args[2];
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct exec *e;

	if (target_pid && target_pid != pid)
		return 0;
	e = bpf_ringbuf_reserve(&execs, sizeof(*e), 0);
	if (!e) {
		__sync_fetch_and_add(&lost, 1);
		return 0;
	}
	e->ns = bpf_ktime_get_boot_ns();
	e->pid = pid;
	e->ppid = BPF_CORE_READ(task, real_parent, tgid);
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	bpf_probe_read_kernel_str(e->file, sizeof(e->file), BPF_CORE_READ(binary, filename));
	bpf_ringbuf_submit(e, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
