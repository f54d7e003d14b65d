// SPDX-License-Identifier: MIT
// Sends a record for each answer of a DNS server over UDP, with the time since the question and with who asked. The
// programs are attached to a cgroup, and see what its members' sockets send and receive.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

const volatile __u16 port = 53;

struct answer {
	__u64 ns; // since the question
	__u32 pid;
	__u32 size; // of the message, of which the beginning follows
	char comm[16];
	unsigned char server[16]; // that of IPv4 as ::ffff:a.b.c.d
	unsigned char message[512];
};

struct asker {
	__u32 pid;
	char comm[16];
};

// Who uses a socket, by its cookie. Nobody tells when one is closed, so this is bounded.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct asker);
} askers SEC(".maps");

struct question {
	__u64 socket;
	__u64 id; // from the message's header
};

// When a question was asked that has no answer yet.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct question);
	__type(value, __u64);
} questions SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1024 * 1024);
} answers SEC(".maps");

struct answer *answer_in_btf; // clang describes only types that something global mentions
__u64 asked;		      // questions
__u64 lost;		      // answers that found the ring full

// A socket is given its address, or sends to one: the process is the current one here.
static __always_inline int remember(struct bpf_sock_addr *ctx)
{
	__u64 socket = bpf_get_socket_cookie(ctx);
	struct asker asker = { .pid = bpf_get_current_pid_tgid() >> 32 };

	if (ctx->user_port == bpf_htons(port)) {
		bpf_get_current_comm(asker.comm, sizeof(asker.comm));
		bpf_map_update_elem(&askers, &socket, &asker, BPF_ANY);
	}
	return 1; // allowed
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	return remember(ctx);
}

SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
	return remember(ctx);
}

SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr *ctx)
{
	return remember(ctx);
}

SEC("cgroup/sendmsg6")
int sendmsg6(struct bpf_sock_addr *ctx)
{
	return remember(ctx);
}

// Where the UDP header begins, or 0 for what isn't UDP. Fills in the address that the packet comes from.
static __always_inline __u32 udp_at(struct __sk_buff *skb, unsigned char *source)
{
	struct iphdr ip;
	struct ipv6hdr ip6;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) || ip.protocol != IPPROTO_UDP)
			return 0;
		source[10] = source[11] = 0xff;
		__builtin_memcpy(source + 12, &ip.saddr, 4);
		return ip.ihl * 4;
	}
	if (skb->protocol != bpf_htons(ETH_P_IPV6) || bpf_skb_load_bytes(skb, 0, &ip6, sizeof(ip6)) ||
	    ip6.nexthdr != IPPROTO_UDP)
		return 0;
	__builtin_memcpy(source, &ip6.saddr, 16);
	return sizeof(ip6);
}

static __always_inline void send(struct __sk_buff *skb, __u32 at, const struct question *question, __u64 since,
				 const unsigned char *server)
{
	struct asker *asker = bpf_map_lookup_elem(&askers, &question->socket);
	struct answer *e = bpf_ringbuf_reserve(&answers, sizeof(*e), 0);
	__u32 size = skb->len - at;

	if (!e) {
		__sync_fetch_and_add(&lost, 1);
		return;
	}
	e->ns = bpf_ktime_get_ns() - since;
	e->pid = asker ? asker->pid : 0;
	e->size = size;
	__builtin_memset(e->comm, 0, sizeof(e->comm));
	if (asker)
		__builtin_memcpy(e->comm, asker->comm, sizeof(e->comm));
	__builtin_memcpy(e->server, server, sizeof(e->server));
	__builtin_memset(e->message, 0, sizeof(e->message));
	if (size > sizeof(e->message))
		size = sizeof(e->message);
	asm volatile("" : "+r"(size)); // older verifiers have to see the bounds, which clang knows already
	size = ((size - 1) & (sizeof(e->message) - 1)) + 1;
	if (!bpf_skb_load_bytes(skb, at, e->message, size))
		bpf_ringbuf_submit(e, 0);
	else
		bpf_ringbuf_discard(e, 0);
}

static __always_inline void look(struct __sk_buff *skb, _Bool out)
{
	unsigned char source[16] = {};
	__u32 at = udp_at(skb, source);
	struct question question = {};
	struct udphdr udp;
	__u16 id;
	__u64 now, *since;

	if (!at || bpf_skb_load_bytes(skb, at, &udp, sizeof(udp)) || (out ? udp.dest : udp.source) != bpf_htons(port) ||
	    bpf_skb_load_bytes(skb, at + sizeof(udp), &id, 2))
		return;
	question.socket = bpf_get_socket_cookie(skb);
	question.id = id;
	if (out) {
		now = bpf_ktime_get_ns();
		bpf_map_update_elem(&questions, &question, &now, BPF_ANY);
		__sync_fetch_and_add(&asked, 1);
		return;
	}
	since = bpf_map_lookup_elem(&questions, &question);
	if (since) {
		send(skb, at + sizeof(udp), &question, *since, source);
		bpf_map_delete_elem(&questions, &question);
	}
}

SEC("cgroup_skb/egress")
int outgoing(struct __sk_buff *skb)
{
	look(skb, 1);
	return 1; // let it pass
}

SEC("cgroup_skb/ingress")
int incoming(struct __sk_buff *skb)
{
	look(skb, 0);
	return 1;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
