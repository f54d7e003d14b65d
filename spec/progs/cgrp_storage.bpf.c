// SPDX-License-Identifier: MIT
// Storage of cgroups, from a thread's system calls.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifndef BPF_LOCAL_STORAGE_GET_F_CREATE
#define BPF_LOCAL_STORAGE_GET_F_CREATE 1
#endif

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct cgroup;

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct task_struct {
	int pid;
	struct css_set *cgroups;
};

#pragma clang attribute pop

struct {
	__uint(type, 32); /* BPF_MAP_TYPE_CGRP_STORAGE, newer than the headers of libbpf 1.1 */
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} cgroups SEC(".maps");

__u32 target; /* the thread */
__u64 calls;
__u32 create; /* whether the program makes storage where there is none */
__u64 found_number;
__u32 found; /* how many calls found storage */

static void *(*cgrp_storage_get)(void *map, struct cgroup *cgroup, void *value, __u64 flags) = (void *)210;

SEC("tp_btf/sys_enter")
int on_call_in_cgroup(__u64 *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 *number;

	if (task->pid != target)
		return 0;
	calls++;
	number = cgrp_storage_get(&cgroups, task->cgroups->dfl_cgrp, 0, create ? BPF_LOCAL_STORAGE_GET_F_CREATE : 0);
	if (!number)
		return 0;
	found++;
	found_number = *number;
	++*number;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
