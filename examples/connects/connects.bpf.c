// SPDX-License-Identifier: MIT
// Sends a record for each TCP connection that a process opens, or fails to open, and counts them by port.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

// Set before the load: the verifier drops the code of filters that are off.
const volatile __u32 target_pid = 0;  // 0: every process
const volatile __u16 target_port = 0; // 0: every port

enum state { ESTABLISHED = 1, SYN_SENT = 2 };

#define TCP 6

// What the tracepoint hands over, as /sys/kernel/tracing/events/sock/inet_sock_set_state/format says (since Linux 5.6).
struct set_state {
	__u64 common;
	const void *sock;
	int old_state;
	int new_state;
	__u16 source_port;
	__u16 port;
	__u16 family;
	__u16 protocol;
	unsigned char source_v4[4];
	unsigned char v4[4];
	unsigned char source[16];
	unsigned char address[16]; // that of IPv4 as ::ffff:a.b.c.d
};

// Who began to connect, and when: the answer comes in an interrupt, while any other process may be running.
struct start {
	__u64 ns;
	__u32 pid;
	char comm[16];
};

struct connect {
	__u64 ns; // from the first packet to the answer
	__u32 pid;
	__u16 port;
	_Bool opened; // or it failed
	char comm[16];
	unsigned char address[16];
};

struct count {
	__u64 opened, failed;
	__u64 ns; // of those that were opened
};

// Sockets that are closed without an answer stay, so this is bounded.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, const void *);
	__type(value, struct start);
} starts SEC(".maps");

// Every port has room, so that the sums are complete.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __u16);
	__type(value, struct count);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} connects SEC(".maps");

struct connect *connect_in_btf; // clang describes only types that something global mentions
__u64 lost;			// records that found the ring full

// The process that connects is the current one here.
static __always_inline void begin(struct set_state *ctx)
{
	const void *sock = ctx->sock;
	struct start start = { .ns = bpf_ktime_get_ns(), .pid = bpf_get_current_pid_tgid() >> 32 };

	if (target_pid && start.pid != target_pid)
		return;
	bpf_get_current_comm(start.comm, sizeof(start.comm));
	bpf_map_update_elem(&starts, &sock, &start, BPF_ANY);
}

static __always_inline void count(__u16 port, _Bool opened, __u64 ns)
{
	struct count none = {}, *count = bpf_map_lookup_elem(&ports, &port);

	if (!count) {
		bpf_map_update_elem(&ports, &port, &none, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&ports, &port);
		if (!count)
			return;
	}
	__sync_fetch_and_add(opened ? &count->opened : &count->failed, 1);
	if (opened)
		__sync_fetch_and_add(&count->ns, ns);
}

static __always_inline void end(struct set_state *ctx, struct start *start)
{
	_Bool opened = ctx->new_state == ESTABLISHED;
	__u64 ns = bpf_ktime_get_ns() - start->ns;
	struct connect *c;

	count(ctx->port, opened, ns);
	c = bpf_ringbuf_reserve(&connects, sizeof(*c), 0);
	if (!c) {
		__sync_fetch_and_add(&lost, 1);
		return;
	}
	c->ns = ns;
	c->pid = start->pid;
	c->port = ctx->port;
	c->opened = opened;
	__builtin_memcpy(c->comm, start->comm, sizeof(c->comm));
	__builtin_memcpy(c->address, ctx->address, sizeof(c->address));
	bpf_ringbuf_submit(c, 0);
}

SEC("tracepoint/sock/inet_sock_set_state")
int set_state(struct set_state *ctx)
{
	const void *sock = ctx->sock;
	struct start *start;

	if (ctx->protocol != TCP || (target_port && ctx->port != target_port))
		return 0;
	if (ctx->new_state == SYN_SENT) {
		begin(ctx);
	} else if (ctx->old_state == SYN_SENT) {
		start = bpf_map_lookup_elem(&starts, &sock);
		if (start) {
			end(ctx, start);
			bpf_map_delete_elem(&starts, &sock);
		}
	}
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
