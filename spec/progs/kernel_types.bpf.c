// SPDX-License-Identifier: MIT
// Hands over structs of the kernel as they are, of one task: its credentials, and the names of its UTS namespace.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* These names are for CO-RE; without the part from ___ on, they are the kernel's. */
#define RELOCATED __attribute__((preserve_access_index))

struct cred___ours {
	int usage;
} RELOCATED;

struct new_utsname___ours {
	char sysname[65];
} RELOCATED;

struct uts_namespace {
	struct new_utsname___ours name;
} RELOCATED;

struct nsproxy {
	struct uts_namespace *uts_ns;
} RELOCATED;

struct task_struct {
	const struct cred___ours *cred;
	struct nsproxy *nsproxy;
} RELOCATED;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 * 1024);
} creds SEC(".maps"), names SEC(".maps");

const volatile __u32 target_pid = 0;
__u32 done;

SEC("raw_tp/sys_enter")
int on_enter(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u64 size = bpf_core_type_size(struct cred___ours);
	void *to;

	if (bpf_get_current_pid_tgid() >> 32 != target_pid || done)
		return 0;
	done = 1;
	to = bpf_ringbuf_reserve(&creds, size, 0);
	if (to) {
		bpf_probe_read_kernel(to, size, BPF_CORE_READ(task, cred));
		bpf_ringbuf_submit(to, 0);
	}
	size = bpf_core_type_size(struct new_utsname___ours);
	to = bpf_ringbuf_reserve(&names, size, 0);
	if (to) {
		struct uts_namespace *ns = BPF_CORE_READ(task, nsproxy, uts_ns);

		bpf_probe_read_kernel(to, size, &ns->name);
		bpf_ringbuf_submit(to, 0);
	}
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
