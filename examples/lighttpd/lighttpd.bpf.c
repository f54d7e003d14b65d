// SPDX-License-Identifier: MIT
// Drops what denied IPv4 addresses send to the processes of a cgroup. The web server's script decides who is denied.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct source {
	__u32 prefixlen; // in bits
	__u8 address[4];
};

struct ban {
	__u64 ends; // seconds since 1970, for the script
	__u64 dropped;
};

struct client {
	__u64 since; // when counting began
	__u32 requests;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 10000);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct source);
	__type(value, struct ban);
} deny SEC(".maps");

// The script's own: the kernel forgets the clients that came least lately, and no restart of the server forgets any.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 10000);
	__type(key, __u8[4]);
	__type(value, struct client);
} clients SEC(".maps");

SEC("cgroup_skb/ingress")
int guard(struct __sk_buff *skb)
{
	struct source source = { .prefixlen = 32 };
	struct ban *ban;

	if (skb->protocol != bpf_htons(ETH_P_IP) ||
	    bpf_skb_load_bytes(skb, offsetof(struct iphdr, saddr), source.address, 4))
		return 1;
	ban = bpf_map_lookup_elem(&deny, &source);
	if (!ban)
		return 1;
	__sync_fetch_and_add(&ban->dropped, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
