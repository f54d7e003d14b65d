// SPDX-License-Identifier: MIT
// Programs at both ends of the functions that the kernel has for testing, and one that answers in such a function's
// place. Each looks at one process alone.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

const volatile __u32 target = 0; /* which process */
__u64 entered;
__u64 left;
__u64 argument;
__u64 result;
__u64 cookie;
int answer; /* what is returned in the function's place, if it isn't 0 */

static int seen(void)
{
	return bpf_get_current_pid_tgid() >> 32 == target;
}

SEC("fentry/bpf_fentry_test1")
int BPF_PROG(on_entry, int a)
{
	if (!seen())
		return 0;
	entered++;
	argument = a;
	return 0;
}

SEC("fentry/bpf_fentry_test1")
int BPF_PROG(with_cookie, int a)
{
	if (seen())
		cookie = bpf_get_attach_cookie(ctx);
	return 0;
}

SEC("fexit/bpf_fentry_test1")
int BPF_PROG(on_exit, int a, int ret)
{
	if (!seen())
		return 0;
	left++;
	argument = a;
	result = ret;
	return 0;
}

SEC("fmod_ret/bpf_modify_return_test")
int BPF_PROG(in_place, int a, int *b, int ret)
{
	if (!seen())
		return 0;
	entered++;
	return answer;
}

char LICENSE[] SEC("license") = "GPL";
