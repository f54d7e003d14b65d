// SPDX-License-Identifier: MIT
// The programs of bench/programs.lua once more, as one writes them in C.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define PASS 2
#define DROP 1

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} slots SEC(".maps");

struct traffic {
	__u64 packets, bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct traffic);
} sources SEC(".maps");

struct prefix {
	__u32 len;
	__u8 address[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 64);
	__type(key, struct prefix);
	__type(value, __u32);
} blocked SEC(".maps");

struct event {
	__u64 pid;
	char comm[16];
	char path[64];
	__u64 flags;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} events SEC(".maps");

SEC("xdp")
int count(struct xdp_md *ctx)
{
	__u32 key = ctx->ingress_ifindex & 255;
	__u64 *n = bpf_map_lookup_elem(&counts, &key), one = 1;

	if (n)
		*n += 1;
	else
		bpf_map_update_elem(&counts, &key, &one, BPF_ANY);
	return PASS;
}

SEC("xdp")
int add(struct xdp_md *ctx)
{
	__u32 key = ctx->ingress_ifindex & 255;
	__u64 *n = bpf_map_lookup_elem(&counts, &key), one = 1;

	if (n)
		__sync_fetch_and_add(n, 1);
	else if (bpf_map_update_elem(&counts, &key, &one, BPF_NOEXIST)) {
		n = bpf_map_lookup_elem(&counts, &key);
		if (n)
			__sync_fetch_and_add(n, 1);
	}
	return PASS;
}

SEC("xdp")
int slot(struct xdp_md *ctx)
{
	__u32 key = ctx->ingress_ifindex & 7;
	__u64 *n = bpf_map_lookup_elem(&slots, &key);

	if (n)
		*n += 1;
	return PASS;
}

SEC("xdp")
int arithmetic(struct xdp_md *ctx)
{
	__s64 sum = ctx->ingress_ifindex;

	for (int i = 1; i <= 20; i++) {
		sum = sum * 31 + i;
		if (sum & 1)
			sum ^= (__u64)sum >> 7;
		else
			sum += 3;
	}
	return sum & 3;
}

SEC("xdp")
int filter(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);
	struct prefix key = { .len = 32 };
	struct traffic *seen;
	__u32 source;

	if ((void *)(eth + 1) > data_end || eth->h_proto != bpf_htons(ETH_P_IP))
		return PASS;
	if ((void *)(ip + 1) > data_end)
		return PASS;
	source = ip->saddr;
	seen = bpf_map_lookup_elem(&sources, &source);
	if (seen) {
		__sync_fetch_and_add(&seen->packets, 1);
		__sync_fetch_and_add(&seen->bytes, bpf_ntohs(ip->tot_len));
	} else {
		struct traffic first = { 1, bpf_ntohs(ip->tot_len) };

		bpf_map_update_elem(&sources, &source, &first, BPF_ANY);
	}
	__builtin_memcpy(key.address, &ip->saddr, sizeof(key.address));
	if (bpf_map_lookup_elem(&blocked, &key))
		return DROP;
	if (ip->protocol == 17) {
		__be16 *port = data + 14 + ip->ihl * 4 + 2;

		if ((void *)(port + 1) <= data_end && *port == bpf_htons(9999))
			return DROP;
	}
	return PASS;
}

/* What tracefs says of sys_enter_openat. */
struct openat {
	__u64 common;
	__s32 number, padding;
	__u64 dfd;
	const char *filename;
	__u64 flags, mode;
};

SEC("tracepoint/syscalls/sys_enter_openat")
int opens(struct openat *ctx)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct event *e;

	if (pid == 4711)
		return 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e)
		return 0;
	e->pid = pid;
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	bpf_probe_read_user_str(e->path, sizeof(e->path), ctx->filename);
	e->flags = ctx->flags;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 200000);
	__type(key, __u32);
	__type(value, __u64);
} scanned SEC(".maps");

__u64 limit, found;

static long visit(void *map, __u32 *key, __u64 *value, __u64 *sum)
{
	if (*value < limit)
		++*sum;
	return 0;
}

SEC("raw_tp/scan")
int scan(void *ctx)
{
	__u64 sum = 0;

	bpf_for_each_map_elem(&scanned, visit, &sum, 0);
	found = sum;
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
