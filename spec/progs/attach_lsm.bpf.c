// SPDX-License-Identifier: MIT
// Programs of the kernel's security hooks: one forbids one process to rename files, one only counts.
#include <asm-generic/errno-base.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

const volatile __u32 target = 0;
__u64 asked;

SEC("lsm/inode_rename")
int BPF_PROG(no_renames)
{
	if (bpf_get_current_pid_tgid() >> 32 != target)
		return 0;
	asked++;
	return -EPERM;
}

SEC("lsm_cgroup/socket_create")
int BPF_PROG(on_socket)
{
	asked++;
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
