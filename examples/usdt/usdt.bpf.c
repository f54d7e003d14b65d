// SPDX-License-Identifier: MIT
// Sends a record each time that a program passes one of its USDT probes, with the probe's arguments.
#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

const volatile __u32 text = 0; // which argument is a text, from 1; 0: none

struct passed {
	__u64 ns; // since boot
	__u32 pid;
	__u32 probe; // the cookie it was attached with
	char comm[16];
	__u32 count;
	__s64 arguments[6];
	char text[64];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} passed SEC(".maps");

struct passed *passed_in_btf; // clang describes only types that something global mentions
__u64 lost;		      // that found the ring full

SEC("usdt")
int on_probe(struct pt_regs *ctx)
{
	struct passed *e = bpf_ringbuf_reserve(&passed, sizeof(*e), 0);
	long value;

	if (!e) {
		__sync_fetch_and_add(&lost, 1);
		return 0;
	}
	e->ns = bpf_ktime_get_ns();
	e->pid = bpf_get_current_pid_tgid() >> 32;
	e->probe = bpf_usdt_cookie(ctx);
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	e->count = bpf_usdt_arg_cnt(ctx);
	e->text[0] = 0;
	for (__u32 i = 0; i < 6; i++) {
		value = 0;
		bpf_usdt_arg(ctx, i, &value); // fails for those that the probe doesn't have
		e->arguments[i] = value;
		if (text == i + 1)
			bpf_probe_read_user_str(e->text, sizeof(e->text), (void *)value);
	}
	bpf_ringbuf_submit(e, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
