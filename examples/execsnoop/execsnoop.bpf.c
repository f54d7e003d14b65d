// SPDX-License-Identifier: MIT
// Sends a record for each program that is executed, with its arguments, through a ring buffer.
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

// What we read of the kernel's own structures; libbpf fits the offsets to the running kernel.
struct mm_struct {
	unsigned long arg_start;
	unsigned long arg_end;
} __attribute__((preserve_access_index));

struct task_struct {
	struct task_struct *real_parent;
	struct mm_struct *mm;
	int tgid;
} __attribute__((preserve_access_index));

#define ARGS 256

struct exec {
	__u64 ns; // since boot
	__u32 pid;
	__u32 ppid;
	__u32 uid;
	__u32 size; // of the arguments, as many bytes of which follow as fit
	char comm[16];
	unsigned char args[ARGS]; // each one ends with a NUL
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} execs SEC(".maps");

struct exec *exec_in_btf; // clang describes only types that something global mentions
__u64 lost;		  // that found the ring full

SEC("raw_tp/sched_process_exec")
int exec(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)ctx->args[0];
	struct exec *e = bpf_ringbuf_reserve(&execs, sizeof(*e), 0);
	unsigned long start;
	__u64 size;

	if (!e) {
		__sync_fetch_and_add(&lost, 1);
		return 0;
	}
	start = BPF_CORE_READ(task, mm, arg_start);
	e->ns = bpf_ktime_get_boot_ns();
	e->pid = bpf_get_current_pid_tgid() >> 32;
	e->ppid = BPF_CORE_READ(task, real_parent, tgid);
	e->uid = bpf_get_current_uid_gid();
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	e->size = BPF_CORE_READ(task, mm, arg_end) - start;
	size = e->size;
	barrier_var(size); // for the verifier: the number compared is the number used
	if (size > ARGS)
		size = ARGS;
	if (bpf_probe_read_user(e->args, size, (void *)start))
		e->size = 0;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
