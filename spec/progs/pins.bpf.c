// SPDX-License-Identifier: MIT
// Maps that are pinned by name: those of which the kernel changes something by itself, and two of the same size.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct pair {
	__u32 first, second;
};

struct other {
	__u32 first;
	__s32 second;
};

#define MAP(map_type, entries, flags, key_type, value_type) \
	__uint(type, BPF_MAP_TYPE_##map_type);              \
	__uint(max_entries, entries);                       \
	__uint(map_flags, flags);                           \
	__type(key, key_type);                              \
	__type(value, value_type);                          \
	__uint(pinning, LIBBPF_PIN_BY_NAME)

struct {
	MAP(DEVMAP, 4, 0, __u32, __u32);
} devices SEC(".maps");

struct {
	MAP(DEVMAP_HASH, 4, 0, __u32, __u32);
} hashed SEC(".maps");

struct {
	MAP(LRU_HASH, 1023, BPF_F_NO_COMMON_LRU, __u32, __u32);
} divided SEC(".maps");

struct {
	MAP(HASH, 8, BPF_F_RDONLY, __u32, struct pair);
} readable SEC(".maps");

struct {
	MAP(HASH, 8, 0, __u32, struct pair);
} pairs SEC(".maps");

struct {
	MAP(HASH, 8, 0, __u32, struct other);
} others SEC(".maps");

char LICENSE[] SEC("license") = "GPL";
