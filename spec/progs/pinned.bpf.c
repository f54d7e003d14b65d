// SPDX-License-Identifier: MIT
// A map that libbpf pins by its name and finds again there.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} lasting SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} passing SEC(".maps");

SEC("raw_tp")
int count(void *ctx)
{
	__u32 key = 0, *value = bpf_map_lookup_elem(&lasting, &key);

	if (value)
		++*value;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
