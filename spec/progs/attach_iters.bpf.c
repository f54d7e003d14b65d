// SPDX-License-Identifier: MIT
// An iterator over each thing that the kernel has. They print a dot for each, and one at the end.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* What of the kernel's types is used here: each context begins with this. */
struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct context {
	struct bpf_iter_meta *meta;
};

#define EACH(what)                                     \
	SEC("iter/" #what)                             \
	int each_##what(struct context *ctx)           \
	{                                              \
		bpf_seq_write(ctx->meta->seq, ".", 1); \
		return 0;                              \
	}

EACH(task)
EACH(task_file)
EACH(task_vma)
EACH(bpf_map)
EACH(bpf_prog)
EACH(bpf_link)
EACH(bpf_map_elem)
EACH(bpf_sk_storage_map)
EACH(sockmap)
EACH(tcp)
EACH(udp)
EACH(unix)
EACH(netlink)
EACH(ipv6_route)
EACH(cgroup)
EACH(ksym)
EACH(kmem_cache)
EACH(dmabuf)

char LICENSE[] SEC("license") = "GPL";
