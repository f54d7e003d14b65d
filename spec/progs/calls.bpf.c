// SPDX-License-Identifier: MIT
// Programs that attach by their section and count the system calls of one process, and maps they share with Lua.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct bump {
	__u32 key;
	__u32 by;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} hits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} slots SEC(".maps");

const volatile __u32 target = 0; /* whose calls are counted */
__u64 entered;
__u64 left;
__u64 traced;
__u32 self;
__u64 after; /* what bump made of it */

static __u32 tgid(void)
{
	return bpf_get_current_pid_tgid() >> 32;
}

SEC("raw_tp/sys_enter")
int count_enter(void *ctx)
{
	if (tgid() == target)
		__sync_fetch_and_add(&entered, 1);
	return 0;
}

SEC("raw_tp/sys_exit")
int count_exit(void *ctx)
{
	if (tgid() == target)
		__sync_fetch_and_add(&left, 1);
	return 0;
}

SEC("?tracepoint/syscalls/sys_enter_openat")
int count_openat(void *ctx)
{
	if (tgid() == target)
		__sync_fetch_and_add(&traced, 1);
	return 0;
}

/* Its section doesn't say where. */
SEC("raw_tp")
int homeless(void *ctx)
{
	return 0;
}

/* The id that the other programs know the running process by. */
SEC("raw_tp")
int whoami(void *ctx)
{
	self = tgid();
	return 0;
}

SEC("raw_tp")
int bump(struct bump *args)
{
	__u32 key = args->key;
	__u64 value = 0, *old = bpf_map_lookup_elem(&hits, &key);

	if (old)
		value = *old;
	value += args->by;
	after = value;
	return bpf_map_update_elem(&hits, &key, &value, BPF_ANY);
}

char LICENSE[] SEC("license") = "GPL";
