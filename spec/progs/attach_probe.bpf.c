// SPDX-License-Identifier: MIT
// Programs at functions of the kernel and of processes: each counts, and keeps what it is given.
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

const volatile __u32 target = 0; /* whose calls of kernel functions are counted */
__u64 hits;
__u64 cookie;
__u64 argument;
__u64 second;
__u64 result;
__u64 pid;

static void count(void)
{
	pid = bpf_get_current_pid_tgid() >> 32;
	__sync_fetch_and_add(&hits, 1);
}

SEC("uprobe")
int on_function(struct pt_regs *ctx)
{
	argument = PT_REGS_PARM1(ctx);
	second = PT_REGS_PARM2(ctx);
	count();
	return 0;
}

SEC("uretprobe")
int on_return(struct pt_regs *ctx)
{
	result = PT_REGS_RC(ctx);
	count();
	return 0;
}

SEC("uprobe")
int with_cookie(struct pt_regs *ctx)
{
	cookie = bpf_get_attach_cookie(ctx);
	count();
	return 0;
}

SEC("uprobe/build/support/probed:probed_add")
int by_section(struct pt_regs *ctx)
{
	count();
	return 0;
}

SEC("uretprobe/build/support/probed:probed_add")
int by_return_section(struct pt_regs *ctx)
{
	count();
	return 0;
}

SEC("uprobe.multi")
int on_several(struct pt_regs *ctx)
{
	cookie += bpf_get_attach_cookie(ctx);
	count();
	return 0;
}

SEC("kprobe")
int on_kernel(struct pt_regs *ctx)
{
	if (bpf_get_current_pid_tgid() >> 32 == target)
		count();
	return 0;
}

SEC("kretprobe")
int on_kernel_return(struct pt_regs *ctx)
{
	if (bpf_get_current_pid_tgid() >> 32 == target) {
		result = PT_REGS_RC(ctx);
		count();
	}
	return 0;
}

SEC("kprobe")
int kernel_cookie(struct pt_regs *ctx)
{
	if (bpf_get_current_pid_tgid() >> 32 == target) {
		cookie = bpf_get_attach_cookie(ctx);
		count();
	}
	return 0;
}

SEC("kprobe/write_null")
int kernel_section(struct pt_regs *ctx)
{
	if (bpf_get_current_pid_tgid() >> 32 == target)
		count();
	return 0;
}

SEC("ksyscall/lseek")
int call_section(struct pt_regs *ctx)
{
	if (bpf_get_current_pid_tgid() >> 32 == target)
		count();
	return 0;
}

SEC("kprobe.multi")
int on_many(struct pt_regs *ctx)
{
	if (bpf_get_current_pid_tgid() >> 32 == target) {
		cookie = bpf_get_attach_cookie(ctx);
		count();
	}
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
