// SPDX-License-Identifier: MIT
// A map of a type that neither the library nor any kernel knows.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, 250);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} future SEC(".maps");

SEC("raw_tp")
int look(void *ctx)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&future, &key) != 0;
}

char LICENSE[] SEC("license") = "GPL";
