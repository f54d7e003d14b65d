// SPDX-License-Identifier: MIT
// Counts system calls by program and cgroup, how long threads wait for a CPU, and TCP sockets by their state.
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

// What we read of the kernel's own structures; libbpf fits the offsets to the running kernel.
struct task_struct {
	unsigned int __state;
	int pid;
} __attribute__((preserve_access_index));

struct task_struct___before_5_14 {
	long state;
} __attribute__((preserve_access_index));

struct sock_common {
	unsigned char skc_state;
} __attribute__((preserve_access_index));

struct bpf_iter__tcp {
	struct sock_common *sk_common;
} __attribute__((preserve_access_index));

struct caller {
	__u64 cgroup;
	char process[16];
};

// Those that have not called for long make room for others; to Prometheus that is a counter that starts anew.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct caller);
	__type(value, __u64);
} calls SEC(".maps");

SEC("raw_tp/sys_enter")
int sys_enter(void *ctx)
{
	struct caller caller = { .cgroup = bpf_get_current_cgroup_id() };
	__u64 *count, one = 1;

	bpf_get_current_comm(caller.process, sizeof(caller.process));
	count = bpf_map_lookup_elem(&calls, &caller);
	if (count)
		++*count;
	else
		bpf_map_update_elem(&calls, &caller, &one, BPF_ANY);
	return 0;
}

// Since when each thread waits. One that ends waiting stays, so this is bounded.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, int);
	__type(value, __u64);
} waiting SEC(".maps");

struct waits {
	__u64 ns;
	__u64 slots[40]; // slots[i]: from 2^i to 2^(i+1) ns; the last one all above
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct waits);
} waits SEC(".maps");

static __always_inline __u32 log2(__u64 n)
{
	__u32 log = 0;

	for (__u32 shift = 32; shift; shift /= 2)
		if (n >> shift) {
			n >>= shift;
			log += shift;
		}
	return log;
}

static __always_inline int begin(struct task_struct *task)
{
	int pid = BPF_CORE_READ(task, pid);
	__u64 now = bpf_ktime_get_ns();

	if (pid) // 0: a CPU that has nothing to do
		bpf_map_update_elem(&waiting, &pid, &now, BPF_ANY);
	return 0;
}

SEC("raw_tp/sched_wakeup")
int wakeup(struct bpf_raw_tracepoint_args *ctx)
{
	return begin((void *)ctx->args[0]);
}

SEC("raw_tp/sched_wakeup_new")
int wakeup_new(struct bpf_raw_tracepoint_args *ctx)
{
	return begin((void *)ctx->args[0]);
}

static __always_inline int runnable(struct task_struct *task)
{
	struct task_struct___before_5_14 *old = (void *)task;

	if (bpf_core_field_exists(task->__state))
		return BPF_CORE_READ(task, __state) == 0;
	return BPF_CORE_READ(old, state) == 0;
}

SEC("raw_tp/sched_switch")
int sched_switch(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *before = (void *)ctx->args[1], *next = (void *)ctx->args[2];
	int pid = BPF_CORE_READ(next, pid);
	struct waits *mine;
	__u64 *since, ns;
	__u32 zero = 0, slot;

	if (runnable(before)) // it had to go, and waits from now on
		begin(before);
	since = bpf_map_lookup_elem(&waiting, &pid);
	mine = bpf_map_lookup_elem(&waits, &zero);
	if (!since || !mine)
		return 0;
	ns = bpf_ktime_get_ns() - *since;
	slot = log2(ns);
	mine->ns += ns;
	if (slot < 40)
		mine->slots[slot]++;
	else
		mine->slots[39]++;
	bpf_map_delete_elem(&waiting, &pid);
	return 0;
}

// The kernel's own numbers; its enumeration has no name that BTF could tell.
enum tcp_state {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT,
	TCP_SYN_RECV,
	TCP_FIN_WAIT1,
	TCP_FIN_WAIT2,
	TCP_TIME_WAIT,
	TCP_CLOSE,
	TCP_CLOSE_WAIT,
	TCP_LAST_ACK,
	TCP_LISTEN,
	TCP_CLOSING,
	TCP_NEW_SYN_RECV,
};

enum tcp_state *state_in_btf; // clang describes only types that something global mentions
__u64 sockets[16];	      // by state

// Goes over the sockets of the network namespace that reads it, each time it is read.
SEC("iter/tcp")
int tcp(struct bpf_iter__tcp *ctx)
{
	struct sock_common *sk = ctx->sk_common;

	if (sk)
		sockets[sk->skc_state & 15]++;
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
