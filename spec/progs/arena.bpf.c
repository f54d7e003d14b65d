// SPDX-License-Identifier: MIT
// Memory that programs and Lua share: an arena at a fixed address, of which programs know 32 bits.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define ADDRESS 0x20000000
#define PAGES 16

struct {
	__uint(type, 33); /* BPF_MAP_TYPE_ARENA, newer than the headers of libbpf 1.1 */
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, PAGES);
	__uint(map_extra, ADDRESS);
} memory SEC(".maps");

struct counter {
	__u64 count;
	__u32 last;
	char name[12];
} newest;

struct args {
	__u32 offset; /* of a struct counter */
	__u32 by;
	__u64 count; /* what it has then */
	char name[12];
};

/* Makes a user-space address one that the program may use: the instruction that compilers emit for a cast between
 * address spaces (1 to 0), which clang has from version 19 on. */
static __attribute__((always_inline)) void *usable(__u64 address)
{
	register __u64 p asm("r1") = address;

	asm volatile(".byte 0xbf, 0x11; .short 1; .long 1" : "+r"(p));
	return (void *)p;
}

/* A program has the arena that it mentions. */
#define HAS(map) asm volatile("" ::"r"(&map))

/* Counts in the counter at an offset, and swaps names. */
SEC("syscall")
int count(struct args *args)
{
	struct counter *c;

	HAS(memory);
	c = usable(ADDRESS + args->offset);
	c->count += args->by;
	c->last = args->by;
	args->count = c->count;
	__builtin_memcpy(args->name, c->name, sizeof(args->name));
	__builtin_memcpy(c->name, "program", 8);
	newest.count = c->count;
	return 0;
}

extern void *bpf_arena_alloc_pages(void *map, void *address, __u32 pages, int node, __u64 flags) __ksym;
extern void bpf_arena_free_pages(void *map, void *address, __u32 pages) __ksym;

struct pages {
	__u64 address; /* of the first one, for user space; 0 when there are none left */
	__u32 pages;
	__u32 number; /* to write there */
};

SEC("syscall")
int allocate(struct pages *args)
{
	__u32 *numbers;

	args->address = (__u64)bpf_arena_alloc_pages(&memory, 0, args->pages, -1, 0);
	if (!args->address)
		return 1;
	numbers = usable(args->address);
	numbers[0] = args->number;
	return 0;
}

SEC("syscall")
int release(struct pages *args)
{
	bpf_arena_free_pages(&memory, (void *)args->address, args->pages);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
