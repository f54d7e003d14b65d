// SPDX-License-Identifier: MIT
// Counts what the members of a cgroup send and receive, by who is at the other end. The programs see IP packets as
// sockets do: without Ethernet headers, and of this cgroup's sockets only.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct peer {
	__u8 version; // of IP: 4 or 6
	__u8 protocol;
	__u16 port;		   // 0 where the protocol has none
	unsigned char address[16]; // the first 4 bytes for IPv4
};

struct traffic {
	__u64 sent; // bytes, with the headers of IP and above
	__u64 received;
	__u64 packets; // both ways
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct peer);
	__type(value, struct traffic);
} peers SEC(".maps");

// Fills in the address, and returns where the header after IP's begins.
static __always_inline __u32 read_v4(struct __sk_buff *skb, struct peer *peer, _Bool out)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)))
		return 0;
	peer->version = 4;
	peer->protocol = ip.protocol;
	__builtin_memcpy(peer->address, out ? &ip.daddr : &ip.saddr, 4);
	return ip.ihl * 4;
}

static __always_inline __u32 read_v6(struct __sk_buff *skb, struct peer *peer, _Bool out)
{
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)))
		return 0;
	peer->version = 6;
	peer->protocol = ip.nexthdr;
	__builtin_memcpy(peer->address, out ? &ip.daddr : &ip.saddr, 16);
	return sizeof(ip);
}

static __always_inline void account(struct __sk_buff *skb, _Bool out)
{
	struct peer peer = {};
	struct traffic none = {}, *traffic;
	__u16 ports[2]; // source, destination
	__u32 next = 0;

	if (skb->protocol == bpf_htons(ETH_P_IP))
		next = read_v4(skb, &peer, out);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		next = read_v6(skb, &peer, out);
	if (peer.protocol == IPPROTO_TCP || peer.protocol == IPPROTO_UDP)
		if (!bpf_skb_load_bytes(skb, next, ports, sizeof(ports)))
			peer.port = bpf_ntohs(ports[out]);

	traffic = bpf_map_lookup_elem(&peers, &peer);
	if (!traffic) {
		bpf_map_update_elem(&peers, &peer, &none, BPF_NOEXIST);
		traffic = bpf_map_lookup_elem(&peers, &peer);
		if (!traffic)
			return;
	}
	__sync_fetch_and_add(out ? &traffic->sent : &traffic->received, skb->len);
	__sync_fetch_and_add(&traffic->packets, 1);
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
