// SPDX-License-Identifier: MIT
// Programs at the marks of a process, with their arguments.
#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

__u64 hits;
__u64 cookie;
__u64 count;
__s64 number;
__u64 pid;
char text[16];

SEC("usdt")
int BPF_USDT(on_step, long n, const char *name)
{
	number = n;
	count = bpf_usdt_arg_cnt(ctx);
	cookie = bpf_usdt_cookie(ctx);
	pid = bpf_get_current_pid_tgid() >> 32;
	bpf_probe_read_user_str(text, sizeof(text), name);
	__sync_fetch_and_add(&hits, 1);
	return 0;
}

SEC("usdt/build/support/probed:lbpf:guarded")
int BPF_USDT(on_guarded, int sum)
{
	number = sum;
	__sync_fetch_and_add(&hits, 1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
