// SPDX-License-Identifier: MIT
// Packets handed to another CPU through a CPU map. Only UDP packets to the tests' port are touched.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define PORT 7008

struct {
	__uint(type, BPF_MAP_TYPE_CPUMAP);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, struct bpf_cpumap_val);
} cpus SEC(".maps");

/* Entries of a queue size alone. */
struct {
	__uint(type, BPF_MAP_TYPE_CPUMAP);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u32);
} plain SEC(".maps");

/* How many packets each CPU has taken from its queue. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
} taken SEC(".maps");

__u32 chosen;  /* the CPU to send to */
__u32 watched; /* the id of the map whose queues `on_taken` counts */
int marked_on = -1;

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
int spread(struct xdp_md *ctx)
{
	return payload(ctx) ? bpf_redirect_map(&cpus, chosen, XDP_DROP) : XDP_PASS;
}

SEC("xdp")
int spread_plain(struct xdp_md *ctx)
{
	return payload(ctx) ? bpf_redirect_map(&plain, chosen, XDP_DROP) : XDP_PASS;
}

/* In an entry: runs on the CPU that the packet was handed to. */
SEC("xdp/cpumap")
int mark(struct xdp_md *ctx)
{
	char *text = payload(ctx);

	if (!text)
		return XDP_PASS;
	*text = '!';
	marked_on = bpf_get_smp_processor_id();
	return XDP_PASS;
}

/* In an entry: lets nothing through. */
SEC("xdp/cpumap")
int refuse(struct xdp_md *ctx)
{
	return XDP_DROP;
}

/* The kernel's thread of an entry has taken packets from the queue; arguments: map id, processed, … */
SEC("raw_tp/xdp_cpumap_kthread")
int on_taken(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 cpu = bpf_get_smp_processor_id();
	__u64 *count = bpf_map_lookup_elem(&taken, &cpu);

	if (count && (__u32)ctx->args[0] == watched)
		__sync_fetch_and_add(count, (__u32)ctx->args[1]);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
