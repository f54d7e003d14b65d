// SPDX-License-Identifier: MIT
// Counts what the members of a cgroup send and receive, by the address at the other end, and sends a record for each
// address that is new. Both maps are pinned by name: the next run of the daemon goes on with them.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <stddef.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct traffic {
	__u64 sent; // bytes, with the headers of IP and above
	__u64 received;
};

struct peer {
	unsigned char address[16]; // that of IPv4 as ::ffff:a.b.c.d
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct peer);
	__type(value, struct traffic);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} peers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} news SEC(".maps");

// The address at the other end. Returns whether the packet has one.
static __always_inline _Bool read_peer(struct __sk_buff *skb, struct peer *peer, _Bool out)
{
	__u32 v4 = out ? offsetof(struct iphdr, daddr) : offsetof(struct iphdr, saddr);
	__u32 v6 = out ? offsetof(struct ipv6hdr, daddr) : offsetof(struct ipv6hdr, saddr);

	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return !bpf_skb_load_bytes(skb, v6, peer->address, 16);
	peer->address[10] = peer->address[11] = 0xff;
	return skb->protocol == bpf_htons(ETH_P_IP) && !bpf_skb_load_bytes(skb, v4, peer->address + 12, 4);
}

static __always_inline void account(struct __sk_buff *skb, _Bool out)
{
	struct traffic none = {}, *traffic;
	struct peer peer = {};

	if (!read_peer(skb, &peer, out))
		return;
	traffic = bpf_map_lookup_elem(&peers, &peer);
	if (!traffic) {
		// Only one CPU succeeds to insert it.
		if (!bpf_map_update_elem(&peers, &peer, &none, BPF_NOEXIST))
			bpf_ringbuf_output(&news, &peer, sizeof(peer), 0);
		traffic = bpf_map_lookup_elem(&peers, &peer);
		if (!traffic)
			return;
	}
	__sync_fetch_and_add(out ? &traffic->sent : &traffic->received, skb->len);
}

SEC("cgroup_skb/ingress")
int receive(struct __sk_buff *skb)
{
	account(skb, 0);
	return 1; // let it pass
}

SEC("cgroup_skb/egress")
int send(struct __sk_buff *skb)
{
	account(skb, 1);
	return 1;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
