// SPDX-License-Identifier: MIT
// Maps in maps: programs that read and write inner maps which Lua put there.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct hit {
	__u64 count;
	__u32 last;
};

struct inner_hash {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, struct hit);
};

struct inner_array {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_INNER_MAP);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
};

struct inner_array first SEC(".maps"), second SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u64);
	__type(value, __u32);
	__array(values, struct inner_hash);
} by_name SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
	__array(values, struct inner_array);
} by_slot SEC(".maps") = {
	.values = { [1] = &first, [3] = &second },
};

struct args {
	__u64 name; /* of the inner hash, or the number of the inner array */
	__u32 key;
	__u32 found; /* whether there was such an inner map */
	__u64 value;
};

struct hit newest; /* a variable of this type, for clang leaves it out of the BTF of inner maps alone */

/* Counts in the hash of that name: reads what is there, and writes. */
SEC("syscall")
int hit(struct args *args)
{
	struct hit one = { .count = 1, .last = args->value }, *old;
	__u64 name = args->name;
	__u32 key = args->key;
	void *inner = bpf_map_lookup_elem(&by_name, &name);

	args->found = inner != 0;
	if (!inner)
		return 1;
	old = bpf_map_lookup_elem(inner, &key);
	if (old)
		one.count += old->count;
	args->value = one.count;
	newest = one;
	return bpf_map_update_elem(inner, &key, &one, BPF_ANY);
}

/* Doubles an element of the array in that slot. */
SEC("syscall")
int twice(struct args *args)
{
	__u32 slot = args->name, key = args->key;
	void *inner = bpf_map_lookup_elem(&by_slot, &slot);
	__u64 *value;

	args->found = inner != 0;
	if (!inner)
		return 1;
	value = bpf_map_lookup_elem(inner, &key);
	if (!value)
		return 2;
	args->value = *value *= 2;
	return 0;
}

__u64 counted;
__u64 missing; /* packets that found no inner map, or none of its elements */

/* The same for each packet of a run that goes on while the inner map is replaced. */
SEC("xdp")
int count(struct xdp_md *ctx)
{
	__u32 slot = 0, key = 0;
	void *inner = bpf_map_lookup_elem(&by_slot, &slot);
	__u64 *value = inner ? bpf_map_lookup_elem(inner, &key) : 0;

	if (value) {
		__sync_fetch_and_add(value, 1);
		__sync_fetch_and_add(&counted, 1);
	} else {
		__sync_fetch_and_add(&missing, 1);
	}
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
