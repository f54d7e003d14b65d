// SPDX-License-Identifier: MIT
// Which of the cgroups in a map a process belongs to, and counters that each cgroup has for its packets.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} groups SEC(".maps");

__u64 inside[2];  /* calls of members, by slot */
__u64 outside[2]; /* of the process `target` that is none */
__s64 error[2];
__u32 target;

static void ask(__u32 slot)
{
	__s64 answer = bpf_current_task_under_cgroup(&groups, slot);

	if (answer == 1)
		__sync_fetch_and_add(&inside[slot], 1);
	else if (bpf_get_current_pid_tgid() >> 32 != target)
		return;
	else if (answer == 0)
		__sync_fetch_and_add(&outside[slot], 1);
	else
		error[slot] = answer;
}

SEC("raw_tp/sys_enter")
int on_call(void *ctx)
{
	ask(0);
	ask(1);
	return 0;
}

struct traffic {
	struct bpf_spin_lock lock;
	__u32 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, struct bpf_cgroup_storage_key);
	__type(value, struct traffic);
} traffic SEC(".maps");

struct per_cpu {
	__u32 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE);
	__type(key, struct bpf_cgroup_storage_key);
	__type(value, struct per_cpu);
} per_cpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, __u64); /* shared by all attach types of a cgroup */
	__type(value, __u64);
} both SEC(".maps");

static int count(struct __sk_buff *skb)
{
	struct traffic *t = bpf_get_local_storage(&traffic, 0);
	struct per_cpu *p = bpf_get_local_storage(&per_cpu, 0);

	bpf_spin_lock(&t->lock);
	t->packets++;
	t->bytes += skb->len;
	bpf_spin_unlock(&t->lock);
	p->packets++;
	p->bytes += skb->len;
	return 1;
}

SEC("cgroup_skb/egress")
int on_egress(struct __sk_buff *skb)
{
	return count(skb);
}

SEC("cgroup_skb/ingress")
int on_ingress(struct __sk_buff *skb)
{
	return count(skb);
}

static int count_both(void)
{
	__u64 *n = bpf_get_local_storage(&both, 0);

	__sync_fetch_and_add(n, 1);
	return 1;
}

SEC("cgroup_skb/egress")
int both_egress(struct __sk_buff *skb)
{
	return count_both();
}

SEC("cgroup_skb/ingress")
int both_ingress(struct __sk_buff *skb)
{
	return count_both();
}

char LICENSE[] SEC("license") = "GPL";
