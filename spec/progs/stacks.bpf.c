// SPDX-License-Identifier: MIT
// Stack traces of one thread's system calls: the kernel's stack and the process's, in maps of several forms.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__uint(value_size, 127 * sizeof(__u64));
} stacks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 1024);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u64));
} shallow SEC(".maps"); /* one frame, which fills the value */

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_STACK_BUILD_ID);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, 32 * sizeof(struct bpf_stack_build_id));
} places SEC(".maps");

__u32 target; /* the thread */
__u64 calls;
__s64 kernel;
__s64 user;
__s64 shallow_user;
__s64 place;

static int is_target(void)
{
	return (__u32)bpf_get_current_pid_tgid() == target;
}

SEC("raw_tp/sys_enter")
int on_call(void *ctx)
{
	if (!is_target())
		return 0;
	kernel = bpf_get_stackid(ctx, &stacks, BPF_F_REUSE_STACKID);
	user = bpf_get_stackid(ctx, &stacks, BPF_F_REUSE_STACKID | BPF_F_USER_STACK);
	shallow_user = bpf_get_stackid(ctx, &shallow, BPF_F_REUSE_STACKID | BPF_F_USER_STACK);
	place = bpf_get_stackid(ctx, &places, BPF_F_REUSE_STACKID | BPF_F_USER_STACK);
	calls++;
	return 0;
}

SEC("?tracepoint/syscalls/sys_enter_unlink")
int on_unlink(void *ctx)
{
	if (!is_target())
		return 0;
	kernel = bpf_get_stackid(ctx, &stacks, BPF_F_REUSE_STACKID);
	user = bpf_get_stackid(ctx, &stacks, BPF_F_REUSE_STACKID | BPF_F_USER_STACK);
	calls++;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
