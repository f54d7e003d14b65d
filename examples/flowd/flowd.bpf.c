// SPDX-License-Identifier: MIT
// Keeps a table of the flows of a network interface, with packets and bytes each way, and tells when one begins.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct flow {
	unsigned char here[16]; // addresses of IPv4 as ::ffff:a.b.c.d
	unsigned char there[16];
	__u16 port; // 0 where the protocol has none
	__u16 port_there;
	__u32 protocol;
};

struct traffic {
	__u64 first; // when it began
	__u64 last;
	__u64 sent; // bytes, with the headers of IP and above
	__u64 received;
	__u64 packets; // both ways
	_Bool ended_here, ended_there;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct flow);
	__type(value, struct traffic);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} begun SEC(".maps");

struct flow *flow_in_btf; // clang describes only types that something global mentions
__u64 lost;		  // beginnings that found the ring full

static __always_inline void map_v4(unsigned char *address, const void *v4)
{
	address[10] = address[11] = 0xff;
	__builtin_memcpy(address + 12, v4, 4);
}

// Fills in addresses and protocol. Returns where the header after IP's begins, or 0 for what isn't IP.
static __always_inline __u32 read_ip(struct __sk_buff *skb, struct flow *flow, _Bool out)
{
	struct iphdr ip;
	struct ipv6hdr ip6;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
			return 0;
		map_v4(flow->here, out ? &ip.saddr : &ip.daddr);
		map_v4(flow->there, out ? &ip.daddr : &ip.saddr);
		flow->protocol = ip.protocol;
		return ETH_HLEN + ip.ihl * 4;
	}
	if (skb->protocol != bpf_htons(ETH_P_IPV6) || bpf_skb_load_bytes(skb, ETH_HLEN, &ip6, sizeof(ip6)))
		return 0;
	__builtin_memcpy(flow->here, out ? &ip6.saddr : &ip6.daddr, 16);
	__builtin_memcpy(flow->there, out ? &ip6.daddr : &ip6.saddr, 16);
	flow->protocol = ip6.nexthdr;
	return ETH_HLEN + sizeof(ip6);
}

static __always_inline void read_ports(struct __sk_buff *skb, __u32 at, struct flow *flow, _Bool out)
{
	__u16 ports[2]; // source, destination

	if (flow->protocol != IPPROTO_TCP && flow->protocol != IPPROTO_UDP)
		return;
	if (bpf_skb_load_bytes(skb, at, ports, sizeof(ports)))
		return;
	flow->port = bpf_ntohs(ports[!out]);
	flow->port_there = bpf_ntohs(ports[out]);
}

// Notes that a TCP connection ends: by RST at once, by FIN once both ends have sent one.
static __always_inline void note_end(struct __sk_buff *skb, __u32 at, struct traffic *traffic, _Bool out)
{
	struct tcphdr tcp;

	if (bpf_skb_load_bytes(skb, at, &tcp, sizeof(tcp)))
		return;
	if (tcp.rst || (tcp.fin && out))
		traffic->ended_here = 1;
	if (tcp.rst || (tcp.fin && !out))
		traffic->ended_there = 1;
}

static __always_inline struct traffic *begin(const struct flow *flow, __u64 now)
{
	struct traffic none = { .first = now };

	if (!bpf_map_update_elem(&flows, flow, &none, BPF_NOEXIST))
		if (bpf_ringbuf_output(&begun, (void *)flow, sizeof(*flow), 0))
			__sync_fetch_and_add(&lost, 1);
	return bpf_map_lookup_elem(&flows, flow);
}

static __always_inline int account(struct __sk_buff *skb, _Bool out)
{
	struct flow flow = {};
	struct traffic *traffic;
	__u64 now = bpf_ktime_get_ns();
	__u32 at = read_ip(skb, &flow, out);

	if (!at)
		return TC_ACT_OK;
	read_ports(skb, at, &flow, out);
	traffic = bpf_map_lookup_elem(&flows, &flow);
	if (!traffic)
		traffic = begin(&flow, now);
	if (!traffic)
		return TC_ACT_OK;
	__sync_fetch_and_add(out ? &traffic->sent : &traffic->received, skb->len - ETH_HLEN);
	__sync_fetch_and_add(&traffic->packets, 1);
	traffic->last = now;
	if (flow.protocol == IPPROTO_TCP)
		note_end(skb, at, traffic, out);
	return TC_ACT_OK;
}

SEC("tc")
int flowd_in(struct __sk_buff *skb)
{
	return account(skb, 0);
}

SEC("tc")
int flowd_out(struct __sk_buff *skb)
{
	return account(skb, 1);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
