// SPDX-License-Identifier: MIT
// Data sent from one connection to another through maps of sockets.
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} socks SEC(".maps");

struct end {
	__u32 address; /* in network order */
	__u16 port;
	__u8 side;
};

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 4);
	__type(key, struct end);
	__type(value, __u64);
} ends SEC(".maps");

/* What has values of 4 bytes takes sockets, and can't tell which. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} narrow SEC(".maps");

__u32 chosen;	       /* the socket that gets the data: a key of socks */
struct end chosen_end; /* the same, of ends */
__u64 direction;       /* BPF_F_INGRESS: the socket itself reads the data; 0: it sends it to its peer */
__u64 parsed;	       /* how many messages were told apart */
__u64 redirected;      /* how many pieces went the other way */

/* Messages are what comes at once. */
SEC("sk_skb/stream_parser")
int message(struct __sk_buff *skb)
{
	parsed++;
	return skb->len;
}

SEC("sk_skb/stream_verdict")
int skb_to_sock(struct __sk_buff *skb)
{
	redirected++;
	return bpf_sk_redirect_map(skb, &socks, chosen, direction);
}

SEC("sk_skb/stream_verdict")
int skb_to_end(struct __sk_buff *skb)
{
	struct end key = chosen_end;

	redirected++;
	return bpf_sk_redirect_hash(skb, &ends, &key, direction);
}

SEC("sk_msg")
int msg_to_sock(struct sk_msg_md *msg)
{
	redirected++;
	return bpf_msg_redirect_map(msg, &socks, chosen, direction);
}

SEC("sk_msg")
int msg_to_end(struct sk_msg_md *msg)
{
	struct end key = chosen_end;

	redirected++;
	return bpf_msg_redirect_hash(msg, &ends, &key, direction);
}

/* Of a cgroup: puts connections that its processes make and accept into both maps. */
SEC("sockops")
int on_connection(struct bpf_sock_ops *ops)
{
	struct end key;
	__u32 slot;

	__builtin_memset(&key, 0, sizeof(key)); /* its padding, too */
	key.address = ops->local_ip4;
	key.port = ops->local_port;
	switch (ops->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		slot = 0;
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		slot = 1;
		break;
	default:
		return 1;
	}
	key.side = slot;
	bpf_sock_map_update(ops, &socks, &slot, BPF_ANY);
	bpf_sock_hash_update(ops, &ends, &key, BPF_ANY);
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
