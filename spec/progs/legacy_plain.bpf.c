// SPDX-License-Identifier: MIT
// Maps declared as before libbpf 1.0: several in one section, annotated and not, global and static, of several
// programs.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct bpf_map_def {
	unsigned int type;
	unsigned int key_size;
	unsigned int value_size;
	unsigned int max_entries;
	unsigned int map_flags;
};

#define BPF_ANNOTATE_KV_PAIR(name, type_key, type_val) \
	struct ____btf_map_##name {                    \
		type_key key;                          \
		type_val value;                        \
	};                                             \
	struct ____btf_map_##name __attribute__((section(".maps." #name), used)) ____btf_map_##name = {}

struct hit {
	__u64 count;
	char comm[16];
};

struct bpf_map_def SEC("maps") first = {
	.type = BPF_MAP_TYPE_ARRAY,
	.key_size = sizeof(__u32),
	.value_size = sizeof(__u32),
	.max_entries = 2,
};

struct bpf_map_def SEC("maps") hits = {
	.type = BPF_MAP_TYPE_HASH,
	.key_size = sizeof(__u32),
	.value_size = sizeof(struct hit),
	.max_entries = 64,
	.map_flags = BPF_F_NO_PREALLOC,
};
BPF_ANNOTATE_KV_PAIR(hits, __u32, struct hit);

/* The annotation lies about the value: what counts is the definition. */
struct bpf_map_def SEC("maps") liar = {
	.type = BPF_MAP_TYPE_HASH,
	.key_size = sizeof(__u32),
	.value_size = sizeof(__u64),
	.max_entries = 8,
};
BPF_ANNOTATE_KV_PAIR(liar, __u32, __u32);

static struct bpf_map_def SEC("maps") hidden = {
	.type = BPF_MAP_TYPE_ARRAY,
	.key_size = sizeof(__u32),
	.value_size = sizeof(__u64),
	.max_entries = 2,
};

static struct bpf_map_def SEC("maps") hidden_too = {
	.type = BPF_MAP_TYPE_ARRAY,
	.key_size = sizeof(__u32),
	.value_size = sizeof(__u64),
	.max_entries = 3,
};

const volatile __u32 target = 0; /* whose calls are counted */
__u64 runs;

SEC("raw_tp/sys_enter")
int count(void *ctx)
{
	__u32 key = bpf_get_current_pid_tgid() >> 32;
	struct hit fresh = { 0 }, *hit;

	if (key != target)
		return 0;
	hit = bpf_map_lookup_elem(&hits, &key);
	if (!hit) {
		bpf_get_current_comm(fresh.comm, sizeof(fresh.comm));
		bpf_map_update_elem(&hits, &key, &fresh, BPF_ANY);
		hit = bpf_map_lookup_elem(&hits, &key);
	}
	if (hit)
		__sync_fetch_and_add(&hit->count, 1);
	return 0;
}

struct args {
	__u32 key, value;
	__u64 before;
};

SEC("syscall")
int whoami(struct args *args)
{
	args->key = bpf_get_current_pid_tgid() >> 32;
	runs++;
	return 0;
}

SEC("syscall")
int set_first(struct args *args)
{
	__u32 key = args->key, value = args->value, *old = bpf_map_lookup_elem(&first, &key);

	if (!old)
		return 1;
	args->before = *old;
	return bpf_map_update_elem(&first, &key, &value, BPF_ANY) ? 2 : 0;
}

SEC("syscall")
int set_liar(struct args *args)
{
	__u32 key = args->key;
	__u64 value = args->value;

	return bpf_map_update_elem(&liar, &key, &value, BPF_ANY) ? 2 : 0;
}

SEC("syscall")
int set_hidden(struct args *args)
{
	__u32 key = args->key;
	__u64 value = args->value, *old = bpf_map_lookup_elem(&hidden, &key);

	args->before = old ? *old : 0;
	return bpf_map_update_elem(&hidden, &key, &value, BPF_ANY) ? 2 : 0;
}

SEC("syscall")
int set_hidden_too(struct args *args)
{
	__u32 key = args->key;
	__u64 value = args->value;

	return bpf_map_update_elem(&hidden_too, &key, &value, BPF_ANY) ? 2 : 0;
}

char LICENSE[] SEC("license") = "GPL";
