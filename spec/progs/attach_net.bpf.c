// SPDX-License-Identifier: MIT
// Programs for each place in the network: they count the packets that are addressed to one port, and do something with
// them that is seen from outside.
#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define PORT 7020

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} listener SEC(".maps");

__u64 passed;
__u64 dropped;
__u64 order; /* the numbers of those that saw it, a digit each */
__u64 denied;
__u64 dissected;

static __always_inline bool is_ours(void *data, void *end)
{
	struct ethhdr *ether = data;
	struct iphdr *ip = data + sizeof(*ether);
	struct udphdr *udp = (void *)ip + sizeof(*ip);

	return (void *)(udp + 1) <= end && ether->h_proto == bpf_htons(ETH_P_IP) && ip->protocol == IPPROTO_UDP &&
		udp->dest == bpf_htons(PORT);
}

SEC("xdp")
int pass(struct xdp_md *ctx)
{
	if (is_ours((void *)(long)ctx->data, (void *)(long)ctx->data_end))
		__sync_fetch_and_add(&passed, 1);
	return XDP_PASS;
}

SEC("xdp")
int drop(struct xdp_md *ctx)
{
	if (!is_ours((void *)(long)ctx->data, (void *)(long)ctx->data_end))
		return XDP_PASS;
	__sync_fetch_and_add(&dropped, 1);
	return XDP_DROP;
}

/* Two that are told apart, and leave the packet to the next. */
SEC("tc")
int one(struct __sk_buff *skb)
{
	if (!is_ours((void *)(long)skb->data, (void *)(long)skb->data_end))
		return TC_ACT_UNSPEC;
	order = order * 10 + 1;
	return TC_ACT_UNSPEC;
}

SEC("tc")
int two(struct __sk_buff *skb)
{
	if (!is_ours((void *)(long)skb->data, (void *)(long)skb->data_end))
		return TC_ACT_UNSPEC;
	order = order * 10 + 2;
	return TC_ACT_UNSPEC;
}

SEC("tc")
int shoot(struct __sk_buff *skb)
{
	if (!is_ours((void *)(long)skb->data, (void *)(long)skb->data_end))
		return TC_ACT_UNSPEC;
	__sync_fetch_and_add(&dropped, 1);
	return TC_ACT_SHOT;
}

/* All packets to the port go to the socket in the map, wherever that listens. */
SEC("sk_lookup")
int look_up(struct bpf_sk_lookup *ctx)
{
	__u32 key = 0;
	struct bpf_sock *sk;
	long err;

	if (ctx->local_port != PORT)
		return SK_PASS;
	sk = bpf_map_lookup_elem(&listener, &key);
	if (!sk)
		return SK_DROP;
	err = bpf_sk_assign(ctx, sk, 0);
	bpf_sk_release(sk);
	return err ? SK_DROP : SK_PASS;
}

SEC("flow_dissector")
int dissect(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&dissected, 1);
	return BPF_OK;
}

SEC("cgroup_skb/egress")
int no_packets(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&denied, 1);
	return 0;
}

SEC("cgroup_skb/ingress")
int count_packets(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&passed, 1);
	return 1;
}

SEC("cgroup/sock_create")
int no_sockets(struct bpf_sock *sk)
{
	__sync_fetch_and_add(&denied, 1);
	return 0;
}

/* Connections to the port go to the next. */
SEC("cgroup/connect4")
int elsewhere(struct bpf_sock_addr *ctx)
{
	if (ctx->user_port == bpf_htons(PORT)) {
		__sync_fetch_and_add(&passed, 1);
		ctx->user_port = bpf_htons(PORT + 1);
	}
	return 1;
}

SEC("socket")
int nothing(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&dropped, 1);
	return 0;
}

SEC("socket")
int everything(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&passed, 1);
	return -1;
}

char LICENSE[] SEC("license") = "GPL";
