// SPDX-License-Identifier: MIT
// Maps in an order that is no other, of sizes that a script sets; a program of several functions, and text in a section
// that has no BTF.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct pair {
	__u32 a, b;
};

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(key_size, sizeof(__u32));
} stacks SEC(".maps"); /* its value's size and its entries are set at run time */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct pair);
} pairs SEC(".maps");

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 3);
	__type(key, __u32);
	__type(value, __u64);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 5);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} jumps SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, __u32);
} kept SEC(".maps");

__u64 sum;
__u32 step = 31;
__u32 first SEC(".data.grows") = 2;
__u64 table[2] SEC(".data.grows") = { 3, 5 }; /* the last one of its section */
char copy[64];

static __attribute__((noinline)) __u64 fold(__u64 x)
{
	return x * step + bpf_ktime_get_ns();
}

SEC("raw_tp")
int zeta(void *ctx)
{
	sum = fold(sum) + fold(sum) + table[first & 1];
	bpf_probe_read_kernel_str(copy, sizeof(copy), "literals are in a section without types");
	return 0;
}

SEC("raw_tp")
int alpha(void *ctx)
{
	__u32 key = 7;
	struct pair *p = bpf_map_lookup_elem(&pairs, &key);

	if (p)
		p->a++;
	bpf_get_stackid(ctx, &stacks, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
