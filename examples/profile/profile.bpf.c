// SPDX-License-Identifier: MIT
// Notes where the CPU is, each time a perf event fires: counts samples by process and stacks.
#include <linux/bpf.h>
#include <linux/bpf_perf_event.h>
#include <bpf/bpf_helpers.h>

const volatile __u32 target_pid = 0; // 0: every process

struct place {
	__u32 pid;
	__s32 kernel; // stack's key in the map below; negative without one
	__s32 user;
	char comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, struct place);
	__type(value, __u64);
} samples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 16384);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, 127 * sizeof(__u64));
} stacks SEC(".maps");

__u64 lost; // samples that found the map full

SEC("perf_event")
int sample(struct bpf_perf_event_data *ctx)
{
	struct place place = { .pid = bpf_get_current_pid_tgid() >> 32 };
	__u64 *count, one = 1;

	if (!place.pid || (target_pid && target_pid != place.pid)) // 0: the CPU has nothing to do
		return 0;
	place.kernel = bpf_get_stackid(ctx, &stacks, 0);
	place.user = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK);
	bpf_get_current_comm(place.comm, sizeof(place.comm));
	count = bpf_map_lookup_elem(&samples, &place);
	if (count)
		__sync_fetch_and_add(count, 1);
	else if (bpf_map_update_elem(&samples, &place, &one, BPF_NOEXIST))
		__sync_fetch_and_add(&lost, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
