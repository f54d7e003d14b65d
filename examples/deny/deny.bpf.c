// SPDX-License-Identifier: MIT
// Forbids to read, write or execute files and directories. Which ones, and what, hangs on their inodes: a map that the
// script writes by their paths.
#include <asm-generic/errno-base.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

// The kernel's, of <linux/fs.h>. Of a directory: to go through it, to add and remove its entries, to list them.
#define MAY_EXEC 1
#define MAY_WRITE 2
#define MAY_READ 4

struct rule { // what is forbidden, and how often that was tried
	_Bool read, write, execute;
	__u32 refused;
};

struct {
	__uint(type, BPF_MAP_TYPE_INODE_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct rule);
} rules SEC(".maps");

SEC("lsm/inode_permission")
int BPF_PROG(permission, struct inode *inode, int mask)
{
	struct rule *rule = bpf_inode_storage_get(&rules, inode, 0, 0);

	if (!rule)
		return 0;
	if ((rule->read && mask & MAY_READ) || (rule->write && mask & MAY_WRITE) ||
	    (rule->execute && mask & MAY_EXEC)) {
		__sync_fetch_and_add(&rule->refused, 1);
		return -EPERM;
	}
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
