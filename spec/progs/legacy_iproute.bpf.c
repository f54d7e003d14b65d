// SPDX-License-Identifier: MIT
// Old maps as iproute2's programs declare them: with ids, pinning, and maps that are in another one from the start.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct bpf_elf_map {
	__u32 type;
	__u32 size_key;
	__u32 size_value;
	__u32 max_elem;
	__u32 flags;
	__u32 id;
	__u32 pinning;
	__u32 inner_id;
	__u32 inner_idx;
};

#define PIN_NONE 0
#define PIN_OBJECT_NS 1
#define PIN_GLOBAL_NS 2

struct bpf_elf_map SEC("maps") outer = {
	.type = BPF_MAP_TYPE_ARRAY_OF_MAPS,
	.size_key = sizeof(__u32),
	.size_value = sizeof(__u32),
	.max_elem = 4,
	.inner_id = 42,
	.pinning = PIN_NONE,
};

struct bpf_elf_map SEC("maps") zeroth = {
	.type = BPF_MAP_TYPE_ARRAY,
	.size_key = sizeof(__u32),
	.size_value = sizeof(__u64),
	.max_elem = 2,
	.id = 42,
	.inner_idx = 0,
};

struct bpf_elf_map SEC("maps") third = {
	.type = BPF_MAP_TYPE_ARRAY,
	.size_key = sizeof(__u32),
	.size_value = sizeof(__u64),
	.max_elem = 2,
	.id = 42,
	.inner_idx = 3,
};

struct bpf_elf_map SEC("maps") elsewhere = {
	.type = BPF_MAP_TYPE_ARRAY,
	.size_key = sizeof(__u32),
	.size_value = sizeof(__u64),
	.max_elem = 2,
	.id = 42,
	.inner_idx = -1,
};

struct bpf_elf_map SEC("maps") global = {
	.type = BPF_MAP_TYPE_HASH,
	.size_key = sizeof(__u32),
	.size_value = sizeof(__u32),
	.max_elem = 16,
	.id = 1,
	.pinning = PIN_GLOBAL_NS,
};

struct bpf_elf_map SEC("maps") local = {
	.type = BPF_MAP_TYPE_HASH,
	.size_key = sizeof(__u32),
	.size_value = sizeof(__u32),
	.max_elem = 16,
	.flags = BPF_F_NO_PREALLOC,
	.pinning = PIN_OBJECT_NS,
};

struct args {
	__u32 outer, key;
	__u64 value;
};

SEC("syscall")
int put(struct args *args)
{
	__u32 outer_key = args->outer, key = args->key;
	void *map = bpf_map_lookup_elem(&outer, &outer_key);
	__u64 *value = map ? bpf_map_lookup_elem(map, &key) : 0;

	if (!value)
		return 1;
	*value = args->value;
	return 0;
}

SEC("syscall")
int put_global(struct args *args)
{
	__u32 key = args->key, value = args->value;

	return bpf_map_update_elem(&global, &key, &value, BPF_ANY) ? 2 : 0;
}

SEC("syscall")
int put_elsewhere(struct args *args)
{
	__u32 key = args->key;
	__u64 value = args->value;

	return bpf_map_update_elem(&elsewhere, &key, &value, BPF_ANY) ? 2 : 0;
}

char LICENSE[] SEC("license") = "GPL";
