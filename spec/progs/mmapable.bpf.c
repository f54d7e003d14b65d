// SPDX-License-Identifier: MIT
// An array in memory, and a counter of this process's calls of bpf(2).
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define NR_BPF 321 // of x86-64; bpf(2) is counted there only
#ifdef __TARGET_ARCH_arm64
#undef NR_BPF
#define NR_BPF 280
#endif

const volatile __u32 self = 0;
__u64 calls = 0;

struct slot {
	__u64 count;
	char name[12];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

SEC("raw_tp/sys_enter")
int on_call(struct bpf_raw_tracepoint_args *ctx)
{
	if (bpf_get_current_pid_tgid() >> 32 == self && ctx->args[1] == NR_BPF)
		__sync_fetch_and_add(&calls, 1);
	return 0;
}

struct request {
	__u32 slot;
};

SEC("raw_tp")
int count_up(struct request *request)
{
	__u32 key = request->slot;
	struct slot *slot = bpf_map_lookup_elem(&slots, &key);

	if (!slot)
		return 1;
	slot->count++;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
