/* SPDX-License-Identifier: MIT */
/* Maps that no kernel creates, each for one reason; and a program whose map loses its types. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define MAP(name, map_type, ...)                       \
	struct {                                       \
		__uint(type, BPF_MAP_TYPE_##map_type); \
		__VA_ARGS__                            \
	} name SEC(".maps")

#define KEY(ctype) __type(key, ctype);
#define VALUE(ctype) __type(value, ctype);
#define ENTRIES(n) __uint(max_entries, n);
#define FLAGS(flags) __uint(map_flags, flags);

struct prefix {
	__u32 len, address;
};

struct locked {
	struct bpf_spin_lock lock;
	__u64 count;
};

struct jumps {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__uint(value_size, 4);
};

struct wide {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, 8);
	__uint(value_size, 4);
};

MAP(no_entries, HASH, KEY(__u32) VALUE(__u32));
MAP(wide_index, ARRAY, KEY(__u64) VALUE(__u32) ENTRIES(3));
MAP(no_bytes, RINGBUF, );
MAP(lru, LRU_HASH, KEY(__u32) VALUE(__u32) ENTRIES(4) FLAGS(BPF_F_NO_PREALLOC));
MAP(trie, LPM_TRIE, KEY(struct prefix) VALUE(__u32) ENTRIES(4));
MAP(stacks, STACK_TRACE, KEY(__u32) __uint(value_size, 12); ENTRIES(4));
MAP(storage, CGROUP_STORAGE, KEY(__u32) VALUE(__u32));
MAP(both_ways, HASH, KEY(__u32) VALUE(__u32) ENTRIES(4) FLAGS(BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG));
MAP(preserved, HASH, KEY(__u32) VALUE(__u32) ENTRIES(4) FLAGS(BPF_F_PRESERVE_ELEMS));
MAP(far_away, HASH, KEY(__u32) VALUE(__u32) ENTRIES(4) FLAGS(BPF_F_NUMA_NODE) __uint(numa_node, 60););
MAP(of_jumps, ARRAY_OF_MAPS, KEY(__u32) ENTRIES(2) __array(values, struct jumps););
MAP(of_wide, ARRAY_OF_MAPS, KEY(__u32) ENTRIES(2) __array(values, struct wide););
MAP(locks, LRU_HASH, KEY(__u32) VALUE(struct locked) ENTRIES(4));

SEC("?xdp")
int locking(void *ctx)
{
	__u32 key = 0;
	struct locked *found = bpf_map_lookup_elem(&locks, &key);

	if (found) {
		bpf_spin_lock(&found->lock);
		found->count++;
		bpf_spin_unlock(&found->lock);
	}
	return XDP_PASS;
}

SEC("xdp")
int pass(void *ctx)
{
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
