// SPDX-License-Identifier: MIT
// One program for each place to attach to. Each counts its runs, for this process where that can be told.
#include <linux/bpf.h>
#include <linux/bpf_perf_event.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

const volatile __u32 self = 0;

__u64 runs[16];
__u64 cookie = 0;

enum place {
	PROBE,
	RETURN,
	TRACEPOINT,
	RAW,
	EVENT,
	XDP,
	XDP_OTHER,
	TC,
	CGROUP,
	SOCKET,
	LOOKUP,
	DISSECTOR,
	KERNEL,
	SKB
};

static __always_inline void count(enum place place)
{
	__sync_fetch_and_add(&runs[place], 1);
}

static __always_inline int is_self(void)
{
	return bpf_get_current_pid_tgid() >> 32 == self;
}

SEC("uprobe")
int probe(void *ctx)
{
	if (!is_self())
		return 0;
	count(PROBE);
	cookie = bpf_get_attach_cookie(ctx);
	return 0;
}

SEC("uretprobe")
int returns(void *ctx)
{
	if (is_self())
		count(RETURN);
	return 0;
}

SEC("tracepoint")
int traced(void *ctx)
{
	if (!is_self())
		return 0;
	count(TRACEPOINT);
	cookie = bpf_get_attach_cookie(ctx);
	return 0;
}

SEC("raw_tp")
int raw(void *ctx)
{
	if (is_self())
		count(RAW);
	return 0;
}

SEC("kprobe")
int kernel(void *ctx)
{
	if (is_self())
		count(KERNEL);
	return 0;
}

SEC("perf_event")
int event(struct bpf_perf_event_data *ctx)
{
	count(EVENT);
	return 0;
}

SEC("xdp")
int pass(struct xdp_md *ctx)
{
	count(XDP);
	return XDP_PASS;
}

SEC("xdp")
int pass_too(struct xdp_md *ctx)
{
	count(XDP_OTHER);
	return XDP_PASS;
}

SEC("tc")
int classify(struct __sk_buff *skb)
{
	count(TC);
	return TC_ACT_OK;
}

SEC("cgroup_skb/egress")
int leaving(struct __sk_buff *skb)
{
	count(CGROUP);
	return 1;
}

// Lets three bytes of each datagram through.
SEC("socket")
int filter(struct __sk_buff *skb)
{
	count(SOCKET);
	return 8 + 3;
}

SEC("sk_lookup")
int look_up(struct bpf_sk_lookup *ctx)
{
	count(LOOKUP);
	return SK_PASS;
}

SEC("flow_dissector")
int dissect(struct __sk_buff *skb)
{
	count(DISSECTOR);
	return BPF_OK;
}

char LICENSE[] SEC("license") = "GPL";
