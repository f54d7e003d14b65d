// SPDX-License-Identifier: MIT
// Programs of several types: what they answer when they are run, and packets counted on an interface.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct sum {
	__u32 a;
	__u32 b;
	__u64 sum;
};

__u64 packets;
__u64 octets;

/* Drops what begins with 0xff, turns the first byte of the rest around. */
SEC("xdp")
int on_packet(struct xdp_md *ctx)
{
	unsigned char *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (data + 14 > end)
		return XDP_ABORTED;
	__sync_fetch_and_add(&packets, 1);
	__sync_fetch_and_add(&octets, end - data);
	if (data[0] == 0xff && data[1] == 0x00)
		return XDP_DROP;
	if (data[0] == 0x11)
		data[0] = 0x22;
	return XDP_PASS;
}

/* Drops the first two bytes of the packet. */
SEC("xdp")
int shorten(struct xdp_md *ctx)
{
	return bpf_xdp_adjust_head(ctx, 2) ? XDP_ABORTED : XDP_PASS;
}

SEC("xdp")
int interface(struct xdp_md *ctx)
{
	return ctx->ingress_ifindex;
}

SEC("syscall")
int add(struct sum *args)
{
	args->sum = (__u64)args->a + args->b;
	return 7;
}

SEC("raw_tp")
int minus_one(void *ctx)
{
	return -1;
}

SEC("raw_tp/sys_enter")
int first_argument(struct bpf_raw_tracepoint_args *ctx)
{
	return ctx->args[0];
}

SEC("tracepoint/syscalls/sys_enter_openat")
int on_openat(void *ctx)
{
	return 0;
}

SEC("tracepoint/lbpf/no_such_tracepoint")
int on_nothing(void *ctx)
{
	return 0;
}

SEC("raw_tp/lbpf_no_such_tracepoint")
int on_nothing_raw(void *ctx)
{
	return 0;
}

SEC("raw_tp")
int where(void *ctx)
{
	return (int)bpf_get_smp_processor_id();
}

char LICENSE[] SEC("license") = "GPL";
