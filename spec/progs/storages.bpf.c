// SPDX-License-Identifier: MIT
// Storage of tasks, from a thread's system calls and from an iterator over all of them.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifndef BPF_LOCAL_STORAGE_GET_F_CREATE
#define BPF_LOCAL_STORAGE_GET_F_CREATE 1
#endif

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct task_struct {
	int pid;
};

struct bpf_iter_meta {
	void *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#pragma clang attribute pop

struct note {
	struct bpf_spin_lock lock;
	__u32 times;
	char text[8];
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct note);
} tasks SEC(".maps");

__u32 target; /* the thread */
__u64 calls;
__u32 create; /* whether the programs make storage where there is none */
__u32 found_times;
char found_text[8];
__u32 found; /* how many calls found storage */

SEC("tp_btf/sys_enter")
int on_call(__u64 *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct note *note;

	if (task->pid != target)
		return 0;
	calls++;
	note = bpf_task_storage_get(&tasks, task, 0, create ? BPF_LOCAL_STORAGE_GET_F_CREATE : 0);
	if (!note)
		return 0;
	found++;
	bpf_spin_lock(&note->lock);
	note->times++;
	found_times = note->times;
	__builtin_memcpy(found_text, note->text, sizeof(found_text));
	__builtin_memcpy(note->text, "program", 8);
	bpf_spin_unlock(&note->lock);
	return 0;
}

/* Writes the tasks that have storage. */
SEC("iter/task")
int noted(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct note *note = task ? bpf_task_storage_get(&tasks, task, 0, 0) : 0;
	__u32 line[2];

	if (!note)
		return 0;
	line[0] = task->pid;
	line[1] = note->times;
	bpf_seq_write((struct seq_file *)ctx->meta->seq, line, sizeof(line));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
