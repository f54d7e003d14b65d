// SPDX-License-Identifier: MIT
// A syscall program that sends as many records as its context asks for, and globals of every section.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct event {
	__u32 pid;
	__u32 seq;
	__u64 ts;
	char comm[16];
	__u64 regs[4];
};

struct request {
	__u32 count;
	__u32 which;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} others SEC(".maps");

__u64 sent;			/* .bss */
__u32 dropped = 0;		/* .bss */
__u32 step = 1;			/* .data */
const volatile __u32 first = 0; /* .rodata */

struct event *event_in_btf; /* clang describes only types that something global mentions */

static __always_inline void fill(struct event *e, __u32 seq)
{
	e->pid = bpf_get_current_pid_tgid() >> 32;
	e->seq = seq;
	e->ts = bpf_ktime_get_ns();
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	for (int i = 0; i < 4; i++)
		e->regs[i] = seq + i;
}

/* Sends one. Global, so that older verifiers look into it once, not for every turn of the loop. */
__attribute__((noinline)) int send_one(__u32 which)
{
	struct event *e;

	if (which)
		e = bpf_ringbuf_reserve(&others, sizeof(*e), 0);
	else
		e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		dropped++;
		return 0;
	}
	fill(e, first + (__u32)sent);
	sent += step;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/* Sends at most 64. Two loops, the inner one looked into once, take verifiers a thirtieth of the time of one. */
__attribute__((noinline)) int send_some(__u32 count, __u32 which)
{
	for (__u32 i = 0; i < 64; i++) {
		if (i >= count)
			break;
		send_one(which);
	}
	return 0;
}

SEC("raw_tp")
int send(struct request *req)
{
	__u32 count = req->count, which = req->which;

	for (__u32 i = 0; i < 4096; i += 64) {
		if (i >= count)
			break;
		send_some(count - i, which);
	}
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
