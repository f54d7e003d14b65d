// SPDX-License-Identifier: MIT
// Forbids to open, remove or execute files below directories. Which ones, and what, hangs on the directories' inodes: a
// map that the script writes by their paths.
#include <asm-generic/errno-base.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define DEPTH 32 // how many directories above a file are asked

// What we read of the kernel's own structures; libbpf fits the offsets to the running kernel.
struct inode;

struct dentry {
	struct dentry *d_parent;
	struct inode *d_inode;
} __attribute__((preserve_access_index));

struct path {
	struct dentry *dentry;
} __attribute__((preserve_access_index));

struct file {
	struct path f_path;
} __attribute__((preserve_access_index));

struct linux_binprm {
	struct file *file;
} __attribute__((preserve_access_index));

enum action { OPEN, REMOVE, EXECUTE };

struct rule {
	_Bool forbidden[3]; // by action
	__u32 refused[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_INODE_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct rule);
} rules SEC(".maps");

static __always_inline int decide(struct dentry *dentry, enum action action)
{
	struct dentry *parent;
	struct rule *rule;

	for (int i = 0; i < DEPTH; i++) {
		rule = bpf_inode_storage_get(&rules, dentry->d_inode, 0, 0);
		if (rule && rule->forbidden[action]) {
			__sync_fetch_and_add(&rule->refused[action], 1);
			return -EPERM;
		}
		parent = dentry->d_parent;
		if (parent == dentry) // the top of the file system
			break;
		dentry = parent;
	}
	return 0;
}

SEC("lsm/file_open")
int BPF_PROG(open, struct file *file)
{
	return decide(file->f_path.dentry, OPEN);
}

SEC("lsm/inode_unlink")
int BPF_PROG(remove, struct inode *dir, struct dentry *dentry)
{
	return decide(dentry, REMOVE);
}

SEC("lsm/bprm_check_security")
int BPF_PROG(execute, struct linux_binprm *bprm)
{
	return decide(bprm->file->f_path.dentry, EXECUTE);
}

char LICENSE[] SEC("license") = "GPL";
