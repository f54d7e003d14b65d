// SPDX-License-Identifier: MIT
// Packets sent on to other interfaces through device maps. Only UDP packets to the tests' port are touched.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define PORT 7007

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct bpf_devmap_val);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct bpf_devmap_val);
} hosts SEC(".maps");

/* Entries of an index alone. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} plain SEC(".maps");

__u32 chosen;	/* the entry to send through */
__u32 last_out; /* the interface by which `mark` last saw a packet leave */

/* The packet's data, if it is one of the tests'. */
static __always_inline char *payload(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);
	struct udphdr *udp = (void *)(ip + 1);
	char *text = (void *)(udp + 1);

	if ((void *)(text + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->protocol != IPPROTO_UDP ||
	    udp->dest != bpf_htons(PORT))
		return NULL;
	return text;
}

SEC("xdp")
int forward(struct xdp_md *ctx)
{
	return payload(ctx) ? bpf_redirect_map(&ports, chosen, XDP_DROP) : XDP_PASS;
}

SEC("xdp")
int forward_hosts(struct xdp_md *ctx)
{
	return payload(ctx) ? bpf_redirect_map(&hosts, chosen, XDP_DROP) : XDP_PASS;
}

SEC("xdp")
int forward_plain(struct xdp_md *ctx)
{
	return payload(ctx) ? bpf_redirect_map(&plain, chosen, XDP_DROP) : XDP_PASS;
}

/* To every interface in the map but the one it came from. */
SEC("xdp")
int flood(struct xdp_md *ctx)
{
	return payload(ctx) ? bpf_redirect_map(&hosts, 0, BPF_F_BROADCAST | BPF_F_EXCLUDE_INGRESS) : XDP_PASS;
}

/* In an entry: marks what leaves by it. */
SEC("xdp/devmap")
int mark(struct xdp_md *ctx)
{
	char *text = payload(ctx);

	if (!text)
		return XDP_PASS;
	*text = '!';
	last_out = ctx->egress_ifindex;
	return XDP_PASS;
}

/* In an entry: lets nothing out. */
SEC("xdp/devmap")
int refuse(struct xdp_md *ctx)
{
	return XDP_DROP;
}

/* For the other end of a cable: a veth interface takes redirected packets only if its peer runs a program too. */
SEC("xdp")
int pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
