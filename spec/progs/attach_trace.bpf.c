// SPDX-License-Identifier: MIT
// Programs on tracepoints of every kind: each counts what one process does there, and keeps its cookie.
#include <asm-generic/errno-base.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

const volatile __u32 target = 0; /* whose calls are counted */
__u64 hits;
__u64 cookie;
__u64 value; /* an argument */
__u32 self;

static int seen(void)
{
	if (bpf_get_current_pid_tgid() >> 32 != target)
		return 0;
	__sync_fetch_and_add(&hits, 1);
	return 1;
}

/* What the tracepoints of system calls hand over. */
struct call {
	__u64 common;
	long id;
	unsigned long args[6];
};

SEC("tracepoint")
int on_tracepoint(struct call *ctx)
{
	if (seen())
		value = ctx->args[2];
	return 0;
}

SEC("tracepoint")
int with_cookie(void *ctx)
{
	if (seen())
		cookie = bpf_get_attach_cookie(ctx);
	return 0;
}

SEC("tp/syscalls/sys_enter_getppid")
int on_getppid(void *ctx)
{
	seen();
	return 0;
}

SEC("raw_tp")
int on_raw(struct bpf_raw_tracepoint_args *ctx)
{
	if (seen())
		value = ctx->args[1];
	return 0;
}

/* The one tracepoint that any kernel lets programs write to: a test run's end, whose result this changes. */
SEC("raw_tp.w/bpf_test_finish")
int on_test_run(struct bpf_raw_tracepoint_args *ctx)
{
	int *err = (int *)ctx->args[0];

	if (seen())
		*err = -EXDEV;
	return 0;
}

SEC("raw_tp")
int raw_with_cookie(void *ctx)
{
	if (seen())
		cookie = bpf_get_attach_cookie(ctx);
	return 0;
}

SEC("raw_tracepoint/sys_enter")
int on_raw_by_section(struct bpf_raw_tracepoint_args *ctx)
{
	seen();
	return 0;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(on_enter, void *regs, long id)
{
	if (seen())
		value = id;
	return 0;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(enter_with_cookie, void *regs, long id)
{
	if (seen())
		cookie = bpf_get_attach_cookie(ctx);
	return 0;
}

SEC("syscall")
int whoami(void *ctx)
{
	self = bpf_get_current_pid_tgid() >> 32;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
