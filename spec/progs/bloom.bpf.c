// SPDX-License-Identifier: MIT
// A Bloom filter that programs push to and ask.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct flow {
	__u32 address;
	__u16 port;
	__u16 proto;
};

struct {
	__uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
	__uint(max_entries, 1000);
	__uint(map_extra, 3); /* hash functions */
	__type(value, struct flow);
} flows SEC(".maps");

/* Their one argument is a flow. Sleepable programs, as of type syscall, may not use such maps. */
SEC("raw_tp")
int push(__u64 *args)
{
	__u64 flow = args[0];

	return -bpf_map_push_elem(&flows, &flow, BPF_ANY);
}

/* 0, or ENOENT */
SEC("raw_tp")
int peek(__u64 *args)
{
	__u64 flow = args[0];

	return -bpf_map_peek_elem(&flows, &flow);
}

char LICENSE[] SEC("license") = "GPL";
