// SPDX-License-Identifier: MIT
// Stores records in a hash map, each under a key of its own, that others take out.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u64);
} records SEC(".maps");

__u32 stored = 0;

struct request {
	__u32 times;
};

static long record_once(__u32 i, void *ctx)
{
	__u32 key = stored;
	__u64 value = key * 3ull;

	(void)i;
	(void)ctx;
	if (bpf_map_update_elem(&records, &key, &value, BPF_NOEXIST) == 0)
		stored++;
	return 0;
}

SEC("syscall")
int record(struct request *request)
{
	bpf_loop(request->times, record_once, 0, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
