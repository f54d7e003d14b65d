// SPDX-License-Identifier: MIT
// Sends a record for each file that a process opens, or tries to, with the result. Filters in the kernel.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

// Set before the load: the verifier drops the code of filters that are off.
const volatile __u32 self = 0;		  // left out
const volatile __u32 target_pid = 0;	  // 0: every process
const volatile __s64 target_uid = -1;	  // -1: every user
const volatile char target_comm[16] = ""; // "": all
const volatile _Bool failed_only = 0;

// What the tracepoints hand over, as /sys/kernel/tracing/events/syscalls/sys_enter_openat/format says.
struct openat_enter {
	__u64 common;
	long nr;
	long dfd;
	const char *filename;
	long flags;
	long mode;
};

struct openat_exit {
	__u64 common;
	long nr;
	long ret;
};

struct open {
	__u32 pid;
	__s32 ret; // descriptor, or -errno
	__u32 flags;
	__u32 uid;
	char comm[16];
	char file[256];
};

// What a thread asked for, until the call returns. A thread that ends there stays, so this is bounded.
struct call {
	const char *filename;
	__u32 flags;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct call);
} calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} opens SEC(".maps");

struct open *open_in_btf; // clang describes only types that something global mentions
__u64 lost;		  // that found the ring full

static __always_inline int wanted(void)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	char comm[16];

	if (pid == self || (target_pid && pid != target_pid))
		return 0;
	if (target_uid >= 0 && (__u32)target_uid != (__u32)bpf_get_current_uid_gid())
		return 0;
	if (!target_comm[0])
		return 1;
	bpf_get_current_comm(comm, sizeof(comm));
	for (int i = 0; i < 16; i++) {
		if (comm[i] != target_comm[i])
			return 0;
		if (!comm[i])
			break;
	}
	return 1;
}

SEC("tracepoint/syscalls/sys_enter_openat")
int enter(struct openat_enter *ctx)
{
	struct call call = { .filename = ctx->filename, .flags = ctx->flags };
	__u32 tid = bpf_get_current_pid_tgid();

	if (wanted())
		bpf_map_update_elem(&calls, &tid, &call, BPF_ANY);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_openat")
int leave(struct openat_exit *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u32 tid = id;
	struct call *call = bpf_map_lookup_elem(&calls, &tid);
	struct open *e;

	if (!call)
		return 0;
	if (!failed_only || ctx->ret < 0) {
		e = bpf_ringbuf_reserve(&opens, sizeof(*e), 0);
		if (e) {
			e->pid = id >> 32;
			e->ret = ctx->ret;
			e->flags = call->flags;
			e->uid = bpf_get_current_uid_gid();
			bpf_get_current_comm(e->comm, sizeof(e->comm));
			if (bpf_probe_read_user_str(e->file, sizeof(e->file), call->filename) < 0)
				e->file[0] = 0;
			bpf_ringbuf_submit(e, 0);
		} else {
			__sync_fetch_and_add(&lost, 1);
		}
	}
	bpf_map_delete_elem(&calls, &tid);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
