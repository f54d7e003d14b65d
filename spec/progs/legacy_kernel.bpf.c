// SPDX-License-Identifier: MIT
// Old maps as the kernel's samples declare them: with the place of the inner map, and a NUMA node.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct bpf_map_def {
	unsigned int type;
	unsigned int key_size;
	unsigned int value_size;
	unsigned int max_entries;
	unsigned int map_flags;
	unsigned int inner_map_idx;
	unsigned int numa_node;
};

struct bpf_map_def SEC("maps") near = {
	.type = BPF_MAP_TYPE_HASH,
	.key_size = sizeof(__u32),
	.value_size = sizeof(__u32),
	.max_entries = 4,
	.map_flags = BPF_F_NUMA_NODE,
	.numa_node = 0,
};

struct bpf_map_def SEC("maps") inner = {
	.type = BPF_MAP_TYPE_HASH,
	.key_size = sizeof(__u32),
	.value_size = sizeof(__u64),
	.max_entries = 5,
};

struct bpf_map_def SEC("maps") array_of = {
	.type = BPF_MAP_TYPE_ARRAY_OF_MAPS,
	.key_size = sizeof(__u32),
	.value_size = sizeof(__u32),
	.max_entries = 3,
	.inner_map_idx = 1,
};

static struct bpf_map_def SEC("maps") hash_of = {
	.type = BPF_MAP_TYPE_HASH_OF_MAPS,
	.key_size = sizeof(__u64),
	.value_size = sizeof(__u32),
	.max_entries = 2,
	.inner_map_idx = 1,
};

struct args {
	__u32 outer, key;
	__u64 value;
};

SEC("syscall")
int put(struct args *args)
{
	__u32 outer = args->outer, key = args->key;
	__u64 value = args->value;
	void *map = bpf_map_lookup_elem(&array_of, &outer);

	if (!map)
		return 1;
	return bpf_map_update_elem(map, &key, &value, BPF_ANY) ? 2 : 0;
}

SEC("syscall")
int put_hash(struct args *args)
{
	__u32 key = args->key;
	__u64 outer = args->outer, value = args->value;
	void *map = bpf_map_lookup_elem(&hash_of, &outer);

	if (!map)
		return 1;
	return bpf_map_update_elem(map, &key, &value, BPF_ANY) ? 2 : 0;
}

SEC("syscall")
int put_near(struct args *args)
{
	__u32 key = args->key, value = args->value;

	return bpf_map_update_elem(&near, &key, &value, BPF_ANY) ? 2 : 0;
}

char LICENSE[] SEC("license") = "GPL";
