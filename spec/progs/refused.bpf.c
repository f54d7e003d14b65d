// SPDX-License-Identifier: MIT
// Programs that the verifier refuses, behind one that it takes: one reads beyond the end of a map's value, one, which
// isn't loaded unless asked for, never ends.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64[2]);
} pair SEC(".maps");

SEC("raw_tp")
int good(void *ctx)
{
	return 0;
}

SEC("raw_tp")
int out_of_bounds(void *ctx)
{
	__u32 key = 0;
	volatile __u64 *value = bpf_map_lookup_elem(&pair, &key);

	return value ? (int)value[5] : 0;
}

SEC("?raw_tp")
int endless(void *ctx)
{
	for (;;)
		asm volatile("" ::: "memory");
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
