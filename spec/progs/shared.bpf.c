// SPDX-License-Identifier: MIT
// Maps that programs and user space change under each other's eyes.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct move {
	__u32 key;
	__u32 by;
	__u64 before; /* what the program found; ~0 when nothing */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 8);
	__type(value, __u32);
} queue SEC(".maps");

const volatile __u32 target = 0; /* the process whose calls are counted */

__u32 self;

/* The id that the other programs know the running process by. */
SEC("syscall")
int whoami(void *ctx)
{
	self = bpf_get_current_pid_tgid() >> 32;
	return 0;
}

/* Adds to an entry. */
SEC("syscall")
int add(struct move *args)
{
	__u32 key = args->key;
	__u64 zero = 0, *value = bpf_map_lookup_elem(&counts, &key);

	args->before = value ? *value : ~0ULL;
	if (!value) {
		bpf_map_update_elem(&counts, &key, &zero, BPF_NOEXIST);
		value = bpf_map_lookup_elem(&counts, &key);
	}
	if (value)
		__sync_fetch_and_add(value, args->by);
	return 0;
}

SEC("syscall")
int erase(struct move *args)
{
	__u32 key = args->key;

	return bpf_map_delete_elem(&counts, &key);
}

/* Takes a job, adds 100, and puts it back. */
SEC("tc") /* syscall programs didn't use to be allowed queues */
int work(struct __sk_buff *ctx)
{
	__u32 job;

	if (bpf_map_pop_elem(&queue, &job))
		return 1;
	job += 100;
	return bpf_map_push_elem(&queue, &job, 0);
}

/* Every openat of the process under test adds one to slot 0 while slot 1 isn't zero. */
SEC("?tracepoint/syscalls/sys_enter_openat")
int on_openat(void *ctx)
{
	__u32 count = 0, gate = 1;
	__u64 *counter, *open;

	if (bpf_get_current_pid_tgid() >> 32 != target)
		return 0;
	counter = bpf_map_lookup_elem(&slots, &count);
	open = bpf_map_lookup_elem(&slots, &gate);
	if (counter && open && *open)
		__sync_fetch_and_add(counter, 1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
