// SPDX-License-Identifier: MIT
// Counts each program that is executed, by name, and sends a record of it unless the policy keeps that name quiet.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct exec {
	__u32 pid;
	__u32 uid;
	__u64 count; // how many of this name there have been
	char comm[16];
};

struct exec *exec_in_btf; // clang describes only types that something global mentions
__u64 lost;		  // records that found the ring full

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, char[16]);
	__type(value, __u64);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, char[16]);
	__type(value, __u8);
} quiet SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} execs SEC(".maps");

static __always_inline __u64 count(const char *comm)
{
	__u64 none = 0, *n;

	bpf_map_update_elem(&counts, comm, &none, BPF_NOEXIST);
	n = bpf_map_lookup_elem(&counts, comm);
	if (!n)
		return 0;
	__sync_fetch_and_add(n, 1);
	return *n;
}

SEC("tracepoint/sched/sched_process_exec")
int on_exec(void *ctx)
{
	struct exec e = {
		.pid = bpf_get_current_pid_tgid() >> 32,
		.uid = bpf_get_current_uid_gid(),
	};

	bpf_get_current_comm(e.comm, sizeof(e.comm));
	e.count = count(e.comm);
	if (!bpf_map_lookup_elem(&quiet, e.comm) && bpf_ringbuf_output(&execs, &e, sizeof(e), 0))
		__sync_fetch_and_add(&lost, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
