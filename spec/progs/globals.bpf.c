// SPDX-License-Identifier: MIT
// Global variables that the kernel can't map, or whose sizes their types don't tell: locks, timers, flexible arrays.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct bpf_spin_lock lock;
struct bpf_timer timer;
__u32 counted;
__u32 beside;

struct numbers {
	__u32 n;
	__u32 list[];
};

struct words {
	__u64 n;
	char first;
	char text[];
};

struct numbers primes = { 3, { 2, 3, 5 } };
struct words long_text = { 1, 'a', { "a text that is longer than the padding" } };
struct words short_text = { 2, 'b', { "abc" } };
struct numbers none = { 0 };

/* a test gives both the same name, as those of two files that were linked may have */
static volatile __u32 twin_a = 10;
static volatile __u32 twin_b = 20;

SEC("tc")
int count(void *ctx)
{
	bpf_spin_lock(&lock);
	counted++;
	bpf_spin_unlock(&lock);
	primes.list[1]++;
	long_text.text[0]++;
	short_text.text[0]++;
	none.n++;
	return (int)(twin_a + 2 * twin_b++ + beside);
}

char LICENSE[] SEC("license") = "GPL";
