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

/* Stores one. Global, so that verifiers look into it once, not for every turn of the loop. */
__attribute__((noinline)) int store(void)
{
	__u32 key = stored;
	__u64 value = key * 3ull;

	if (bpf_map_update_elem(&records, &key, &value, BPF_NOEXIST) == 0)
		stored++;
	return 0;
}

SEC("raw_tp")
int record(struct request *request)
{
	__u32 times = request->times;

	for (__u32 i = 0; i < 1024 && i < times; i++)
		store();
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
