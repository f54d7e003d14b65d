// SPDX-License-Identifier: MIT
// Lists threads: an iterator, which the kernel calls for each of them. It writes a record for those that are wanted.
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

// Set before the load: the verifier drops the code of filters that are off.
const volatile _Bool threads = 0;	  // all threads, not processes only
const volatile __s32 target_uid = -1;	  // -1: of all users
const volatile char target_comm[16] = ""; // "": all

// What we read of the kernel's own structures; libbpf fits the offsets to the running kernel.
struct mm_struct {
	unsigned long total_vm;
} __attribute__((preserve_access_index));

struct signal_struct {
	int nr_threads;
} __attribute__((preserve_access_index));

struct cred {
	struct {
		__u32 val;
	} uid;
} __attribute__((preserve_access_index));

struct task_struct {
	unsigned int __state;
	int exit_state;
	int pid;
	int tgid;
	struct task_struct *real_parent;
	struct mm_struct *mm;
	struct signal_struct *signal;
	const struct cred *cred;
	__u64 utime, stime;
	__u64 start_boottime;
	char comm[16];
} __attribute__((preserve_access_index));

struct task_struct___before_5_14 {
	long state;
} __attribute__((preserve_access_index));

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
} __attribute__((preserve_access_index));

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} __attribute__((preserve_access_index));

struct task {
	__u32 pid, tgid, parent, uid;
	__u32 state; // 0: running or runnable, 1: sleeping, 2: sleeping and not to be disturbed, 4 and 8: stopped
	__u32 exit_state;
	__u32 threads;
	_Bool of_kernel;
	__u64 pages;	    // of memory that is mapped
	__u64 user, kernel; // nanoseconds on a CPU
	__u64 since;	    // nanoseconds after boot
	char comm[16];
};

struct task *task_in_btf; // clang describes only types that something global mentions

static __always_inline int wanted(struct task_struct *task, const struct task *t)
{
	if (!threads && t->pid != t->tgid)
		return 0;
	if (target_uid != -1 && (__u32)target_uid != t->uid)
		return 0;
	for (int i = 0; i < 16 && target_comm[0]; i++) {
		if (t->comm[i] != target_comm[i])
			return 0;
		if (!t->comm[i])
			break;
	}
	return 1;
}

static __always_inline __u32 state(struct task_struct *task)
{
	struct task_struct___before_5_14 *old = (void *)task;

	if (bpf_core_field_exists(task->__state))
		return BPF_CORE_READ(task, __state);
	return BPF_CORE_READ(old, state);
}

SEC("iter/task")
int each(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;
	struct task t = {};

	if (!task) // after the last one
		return 0;
	t.pid = BPF_CORE_READ(task, pid);
	t.tgid = BPF_CORE_READ(task, tgid);
	t.uid = BPF_CORE_READ(task, cred, uid.val);
	BPF_CORE_READ_STR_INTO(&t.comm, task, comm);
	if (!wanted(task, &t))
		return 0;
	t.parent = BPF_CORE_READ(task, real_parent, tgid);
	t.state = state(task);
	t.exit_state = BPF_CORE_READ(task, exit_state);
	t.threads = BPF_CORE_READ(task, signal, nr_threads);
	t.of_kernel = !BPF_CORE_READ(task, mm);
	t.pages = BPF_CORE_READ(task, mm, total_vm);
	t.user = BPF_CORE_READ(task, utime);
	t.kernel = BPF_CORE_READ(task, stime);
	t.since = BPF_CORE_READ(task, start_boottime);
	bpf_seq_write(seq, &t, sizeof(t));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
