// SPDX-License-Identifier: MIT
// Which of several sockets on one port gets a packet or connection.
#include <linux/bpf.h>
#include <linux/udp.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} group SEC(".maps");

/* What has values of 4 bytes takes sockets, and can't tell which. */
struct {
	__uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} narrow SEC(".maps");

__u32 chosen; /* the socket for connections */

/* A packet's first character is the number of its socket. */
SEC("sk_reuseport")
int by_digit(struct sk_reuseport_md *ctx)
{
	unsigned char *data = ctx->data, *end = ctx->data_end;
	__u32 slot;

	data += sizeof(struct udphdr);
	if (data + 1 > end)
		return SK_DROP;
	slot = *data - '0';
	return bpf_sk_select_reuseport(ctx, &group, &slot, 0) ? SK_DROP : SK_PASS;
}

SEC("sk_reuseport")
int by_choice(struct sk_reuseport_md *ctx)
{
	return bpf_sk_select_reuseport(ctx, &group, &chosen, 0) ? SK_DROP : SK_PASS;
}

SEC("sk_reuseport")
int by_choice_narrow(struct sk_reuseport_md *ctx)
{
	return bpf_sk_select_reuseport(ctx, &narrow, &chosen, 0) ? SK_DROP : SK_PASS;
}

char LICENSE[] SEC("license") = "GPL";
