/* SPDX-License-Identifier: MIT */
/* Inner maps whose key's type clang leaves without members, because nothing else names it. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct prefix {
	__u32 len, address;
};

struct trie {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 8);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, __u32);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct trie);
} tries SEC(".maps");

SEC("xdp")
int pass(void *ctx)
{
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
