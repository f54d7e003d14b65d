// SPDX-License-Identifier: MIT
// Programs that change values as a whole, under the lock that the value has.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define WORDS 128

struct pair {
	struct bpf_spin_lock lock;
	__u64 a;
	__u64 b;
};

struct page {
	struct bpf_spin_lock lock;
	__u64 words[WORDS];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, struct pair);
} pairs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct pair);
} cells SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct page);
} pages SEC(".maps");

__u32 first;	/* the keys to work on: from here */
__u64 checked;	/* pages that check has seen */
__u64 torn;	/* of these, not whole */
__u32 span = 1; /* so many, a power of two */

static __u32 pick(void)
{
	return first + (bpf_get_prandom_u32() & (span - 1));
}

static void add(struct pair *pair)
{
	bpf_spin_lock(&pair->lock);
	pair->a++;
	pair->b++;
	bpf_spin_unlock(&pair->lock);
}

/* Adds one to both members of an entry of the hash. */
SEC("xdp")
int add_pair(struct xdp_md *ctx)
{
	__u32 key = pick();
	struct pair *pair = bpf_map_lookup_elem(&pairs, &key);

	if (pair)
		add(pair);
	return XDP_PASS;
}

/* Adds one to both members of a slot of the array. */
SEC("xdp")
int add_cell(struct xdp_md *ctx)
{
	__u32 key = pick();
	struct pair *cell = bpf_map_lookup_elem(&cells, &key);

	if (cell)
		add(cell);
	return XDP_PASS;
}

/* Fills the page with one number, another one every time. */
SEC("xdp")
int fill(struct xdp_md *ctx)
{
	__u32 key = 0;
	struct page *page = bpf_map_lookup_elem(&pages, &key);
	__u64 number;

	if (!page)
		return XDP_ABORTED;
	bpf_spin_lock(&page->lock);
	number = page->words[0] + 1;
#pragma clang loop unroll(disable)
	for (int i = 0; i < WORDS; i++)
		page->words[i] = number;
	bpf_spin_unlock(&page->lock);
	return XDP_PASS;
}

/* Reads the page under the lock; counts pages whose words aren't all the same. */
SEC("xdp")
int check(struct xdp_md *ctx)
{
	__u32 key = 0;
	__u64 different = 0;
	struct page *page = bpf_map_lookup_elem(&pages, &key);

	if (!page)
		return XDP_ABORTED;
	bpf_spin_lock(&page->lock);
#pragma clang loop unroll(disable)
	for (int i = 1; i < WORDS; i++)
		different |= page->words[i] ^ page->words[0];
	bpf_spin_unlock(&page->lock);
	__sync_fetch_and_add(&checked, 1);
	if (different)
		__sync_fetch_and_add(&torn, 1);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
