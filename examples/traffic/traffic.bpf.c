// SPDX-License-Identifier: MIT
// Counts what goes in and out of a network interface, by protocol or by address. Packets go on as if it weren't there.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

const volatile _Bool by_address = 0; // else by protocol

struct kind {
	_Bool out;
	__u8 version;		// of IP: 4 or 6; 0 for what isn't IP
	__u8 protocol;		// TCP, UDP, … when counting by protocol
	unsigned char peer[16]; // the address elsewhere when counting by address; the first 4 bytes for IPv4
};

struct count {
	__u64 packets;
	__u64 bytes; // with their Ethernet headers
};

// Each CPU counts for itself. When there are too many kinds, those that were quiet longest are forgotten.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct kind);
	__type(value, struct count);
} counts SEC(".maps");

static __always_inline void read_v4(struct __sk_buff *skb, struct kind *kind)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return;
	kind->version = 4;
	if (by_address)
		__builtin_memcpy(kind->peer, kind->out ? &ip.daddr : &ip.saddr, 4);
	else
		kind->protocol = ip.protocol;
}

static __always_inline void read_v6(struct __sk_buff *skb, struct kind *kind)
{
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return;
	kind->version = 6;
	if (by_address)
		__builtin_memcpy(kind->peer, kind->out ? &ip.daddr : &ip.saddr, 16);
	else
		kind->protocol = ip.nexthdr;
}

static __always_inline int count(struct __sk_buff *skb, _Bool out)
{
	struct kind kind = { .out = out };
	struct count one = { .packets = 1, .bytes = skb->len }, *known;

	if (skb->protocol == bpf_htons(ETH_P_IP))
		read_v4(skb, &kind);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		read_v6(skb, &kind);
	known = bpf_map_lookup_elem(&counts, &kind);
	if (known) { // this CPU's own: nobody else writes it meanwhile
		known->packets += one.packets;
		known->bytes += one.bytes;
	} else {
		bpf_map_update_elem(&counts, &kind, &one, BPF_NOEXIST);
	}
	return TC_ACT_OK;
}

SEC("tc")
int incoming(struct __sk_buff *skb)
{
	return count(skb, 0);
}

SEC("tc")
int outgoing(struct __sk_buff *skb)
{
	return count(skb, 1);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
