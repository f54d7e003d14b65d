// SPDX-License-Identifier: MIT
// A program for each hook of cgroups. What they refuse or change is PORT's, one option's or one device's, so that it is
// seen from outside; and each counts that in `seen`.
#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define PORT 7030 /* what programs of addresses look for; the next one is what they make of it */
#define SOL_SOCKET 1
#define SO_KEEPALIVE 9

__u64 seen;

static __always_inline int move_port(struct bpf_sock_addr *ctx, int from, int to)
{
	if (ctx->user_port == bpf_htons(from)) {
		__sync_fetch_and_add(&seen, 1);
		ctx->user_port = bpf_htons(to);
	}
	return 1;
}

#define ON_ADDRESS(hook, from, to)                   \
	SEC("cgroup/" #hook)                         \
	int on_##hook(struct bpf_sock_addr *ctx)     \
	{                                            \
		return move_port(ctx, (from), (to)); \
	}

ON_ADDRESS(bind4, PORT, PORT + 1)
ON_ADDRESS(bind6, PORT, PORT + 1)
ON_ADDRESS(connect4, PORT, PORT + 1)
ON_ADDRESS(connect6, PORT, PORT + 1)
ON_ADDRESS(sendmsg4, PORT, PORT + 1)
ON_ADDRESS(sendmsg6, PORT, PORT + 1)
ON_ADDRESS(recvmsg4, PORT + 1, PORT)
ON_ADDRESS(recvmsg6, PORT + 1, PORT)
ON_ADDRESS(getpeername4, PORT + 1, PORT)
ON_ADDRESS(getpeername6, PORT + 1, PORT)
ON_ADDRESS(getsockname4, PORT + 1, PORT)
ON_ADDRESS(getsockname6, PORT + 1, PORT)

#define ON_SOCKET(hook, answer)                 \
	SEC("cgroup/" #hook)                    \
	int on_##hook(struct bpf_sock *sk)      \
	{                                       \
		__sync_fetch_and_add(&seen, 1); \
		return (answer);                \
	}

ON_SOCKET(sock_create, 0)
ON_SOCKET(sock_release, 1)
ON_SOCKET(post_bind4, sk->src_port != PORT)
ON_SOCKET(post_bind6, sk->src_port != PORT)

SEC("cgroup/getsockopt")
int on_getsockopt(struct bpf_sockopt *ctx)
{
	int *value = ctx->optval;

	if (ctx->level != SOL_SOCKET || ctx->optname != SO_KEEPALIVE || (void *)(value + 1) > ctx->optval_end)
		return 1;
	__sync_fetch_and_add(&seen, 1);
	*value = 1;
	return 1;
}

SEC("cgroup/setsockopt")
int on_setsockopt(struct bpf_sockopt *ctx)
{
	if (ctx->level != SOL_SOCKET || ctx->optname != SO_KEEPALIVE)
		return 1;
	__sync_fetch_and_add(&seen, 1);
	return 0;
}

SEC("cgroup/sysctl")
int on_sysctl(struct bpf_sysctl *ctx)
{
	__sync_fetch_and_add(&seen, ctx->write);
	return !ctx->write;
}

/* Nobody gets /dev/null. */
SEC("cgroup/dev")
int on_dev(struct bpf_cgroup_dev_ctx *ctx)
{
	if (ctx->major != 1 || ctx->minor != 3)
		return 1;
	__sync_fetch_and_add(&seen, 1);
	return 0;
}

SEC("cgroup_skb/egress")
int on_egress(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&seen, 1);
	return 0;
}

SEC("cgroup_skb/ingress")
int on_ingress(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&seen, 1);
	return 0;
}

SEC("sockops")
int on_connection(struct bpf_sock_ops *ctx)
{
	if (ctx->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB)
		__sync_fetch_and_add(&seen, 1);
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
