// SPDX-License-Identifier: MIT
// Iterators: over tasks, as text; over the elements of a map, as records. And a program that prints.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

// What these need of the kernel's types.
struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 session_id;
	__u64 seq_num;
} __attribute__((preserve_access_index));

struct task_struct {
	int pid;
	int tgid;
	char comm[16];
} __attribute__((preserve_access_index));

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} __attribute__((preserve_access_index));

struct bpf_map;

struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	void *key;
	void *value;
} __attribute__((preserve_access_index));

const volatile int self = 0;

SEC("iter/task")
int tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task || task->tgid != self)
		return 0;
	BPF_SEQ_PRINTF(ctx->meta->seq, "%d %s\n", task->pid, task->comm);
	return 0;
}

SEC("iter/task")
int many_lines(struct bpf_iter__task *ctx)
{
	static const char text[] = "0123456789012345678901234567890123456789012345678901234567890123456789";

	struct task_struct *task = ctx->task;

	if (!task || task->pid != self)
		return 0;
	for (int i = 0; i < 100; i++)
		BPF_SEQ_PRINTF(ctx->meta->seq, "%d %s\n", i, text);
	BPF_SEQ_PRINTF(ctx->meta->seq, "the end");
	return 0;
}

struct pair {
	__u32 key;
	__u64 value;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1000);
	__type(key, __u32);
	__type(value, __u64);
} elements SEC(".maps");

SEC("iter/bpf_map_elem")
int pairs(struct bpf_iter__bpf_map_elem *ctx)
{
	struct pair pair = {};
	__u32 *key = ctx->key;
	__u64 *value = ctx->value;

	if (!key || !value)
		return 0;
	pair.key = *key;
	pair.value = *value;
	bpf_seq_write(ctx->meta->seq, &pair, sizeof(pair));
	return 0;
}

SEC("iter/bpf_map_elem")
int halves(struct bpf_iter__bpf_map_elem *ctx)
{
	__u32 *at = ctx->key, key;

	if (!at)
		return 0;
	key = *at;
	bpf_seq_write(ctx->meta->seq, &key, sizeof(key));
	return 0;
}

struct request {
	__u32 number;
	char word[8];
};

SEC("syscall")
int say(struct request *request)
{
	bpf_printk("lbpf %d says %d", self, request->number);
	request->number++;
	return 0;
}

SEC("raw_tp/sys_enter")
int arguments(struct bpf_raw_tracepoint_args *ctx)
{
	return ctx->args[0] + ctx->args[1];
}

char LICENSE[] SEC("license") = "GPL";
