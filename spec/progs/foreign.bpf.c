// SPDX-License-Identifier: MIT
// The types of a kernel that doesn't exist: structs of Linux whose members are elsewhere, and of other sizes.

typedef _Bool bool;
typedef struct {
	int counter;
} atomic_t;

struct refcount_struct {
	long before;
	atomic_t refs;
};

struct kuid {
	char before[3];
	unsigned int val;
};

struct cred {
	long before[7];
	struct kuid uid;
};

struct new_utsname {
	char machine[70];
	char nodename[70];
};

struct uts_namespace {
	char before[33];
	struct new_utsname name;
};

struct nsproxy {
	char before[41];
	struct uts_namespace *uts_ns;
};

struct rlimit {
	unsigned long rlim_max;
	unsigned long before;
	unsigned long rlim_cur;
};

struct signal_struct {
	char before[99];
	struct rlimit rlim[16];
};

struct inode {
	char before[21];
	unsigned short i_nlink; /* in a union without a name, and of 32 bits */
};

struct dentry {
	char before[5];
	struct inode *d_inode;
};

struct path {
	struct dentry *dentry;
};

struct fs_struct {
	long before[9];
	struct path pwd;
};

struct task_struct {
	char before[1000];
	union {
		int nothing;
		struct {
			int within;
			long pid; /* of 32 bits, as the next one */
		};
	};
	short tgid;
	unsigned char flags;		      /* of 32 bits */
	unsigned long rt_priority;	      /* of 32 bits */
	unsigned int sched_reset_on_fork : 5; /* of one bit */
	unsigned int no_such_bits : 2;
	struct task_struct *group_leader;
	struct task_struct *real_parent;
	const struct cred *cred;
	char comm[24]; /* of 16 bytes */
	struct nsproxy *nsproxy;
	struct signal_struct *signal;
	struct fs_struct *fs;
	struct refcount_struct stack_refcount;
	struct refcount_struct usage;
	unsigned long no_such_member;
};

struct trace_entry {
	unsigned int nothing[2];
};

struct trace_event_raw_sched_process_exec {
	struct trace_entry ent;
	long before;
	int old_pid;
	int pid;
	unsigned int __data_loc_filename;
	char __data[0];
};

typedef void (*btf_trace_task_rename)(void *, struct task_struct *, const char *);

/* clang describes only types that something global has */
struct {
	struct task_struct task;
	struct cred cred;
	struct nsproxy nsproxy;
	struct uts_namespace uts_ns;
	struct signal_struct signal;
	struct fs_struct fs;
	struct dentry dentry;
	struct inode inode;
	struct trace_event_raw_sched_process_exec exec;
	btf_trace_task_rename rename;
} types_in_btf;
