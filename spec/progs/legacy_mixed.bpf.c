// SPDX-License-Identifier: MIT
// Old maps in sections of their own, as gobpf's programs have them, beside maps in today's form.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct bpf_map_def {
	unsigned int type;
	unsigned int key_size;
	unsigned int value_size;
	unsigned int max_entries;
	unsigned int map_flags;
	unsigned int pinning;
	char namespace[256];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 7);
	__type(key, __u32);
	__type(value, __u64);
} today SEC(".maps");

struct bpf_map_def SEC("maps/one") one = {
	.type = BPF_MAP_TYPE_HASH,
	.key_size = sizeof(__u32),
	.value_size = sizeof(__u64),
	.max_entries = 11,
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 9);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u64));
} today_too SEC(".maps");

struct bpf_map_def SEC("maps/two") two = {
	.type = BPF_MAP_TYPE_HASH,
	.key_size = sizeof(__u32),
	.value_size = sizeof(__u64),
	.max_entries = 22,
	.pinning = 2,
};

/* And one of four words, in "maps". */
struct short_def {
	unsigned int type, key_size, value_size, max_entries;
} three SEC("maps") = { BPF_MAP_TYPE_HASH, sizeof(__u32), sizeof(__u64), 33 };

struct args {
	__u32 key, value;
};

#define PUT(map)                                                                 \
	SEC("syscall")                                                           \
	int put_##map(struct args *args)                                         \
	{                                                                        \
		__u32 key = args->key;                                           \
		__u64 value = args->value;                                       \
                                                                                 \
		return bpf_map_update_elem(&map, &key, &value, BPF_ANY) ? 2 : 0; \
	}

PUT(today)
PUT(one)
PUT(today_too)
PUT(two)
PUT(three)

char LICENSE[] SEC("license") = "GPL";
