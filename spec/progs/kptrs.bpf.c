// SPDX-License-Identifier: MIT
// A value that holds a reference to a task.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct task_struct {
	int pid;
	int tgid;
} __attribute__((preserve_access_index));

typedef struct task_struct task_t; /* clang before 15 loses the tag of a pointer to a struct by its own name */

struct holder {
	struct bpf_spin_lock lock;
	__u64 n;
	task_t __kptr *task;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct holder);
} holders SEC(".maps");

extern struct task_struct *bpf_task_from_pid(int pid) __ksym;
extern void bpf_task_release(struct task_struct *task) __ksym;

/* Puts the running task into entry 0. */
SEC("syscall")
int hold(void *ctx)
{
	__u32 key = 0;
	struct holder *holder = bpf_map_lookup_elem(&holders, &key);
	struct task_struct *task;

	if (!holder)
		return 1;
	task = bpf_task_from_pid((int)bpf_get_current_pid_tgid());
	if (!task)
		return 2;
	task = bpf_kptr_xchg(&holder->task, task);
	if (task)
		bpf_task_release(task);
	return 0;
}

/* Returns the id of the task that entry 0 holds, and holds no longer; 0 if there is none. */
SEC("syscall")
int release(void *ctx)
{
	__u32 key = 0;
	struct holder *holder = bpf_map_lookup_elem(&holders, &key);
	struct task_struct *task;
	int pid;

	if (!holder)
		return -1;
	task = bpf_kptr_xchg(&holder->task, 0);
	if (!task)
		return 0;
	pid = task->pid;
	bpf_task_release(task);
	return pid;
}

SEC("syscall")
int whoami(void *ctx)
{
	return (int)bpf_get_current_pid_tgid();
}

char LICENSE[] SEC("license") = "GPL";
