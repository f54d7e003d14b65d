// SPDX-License-Identifier: MIT
// An iterator over each thing that the kernel has. They print a dot for each.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* What of the kernel's types is used here: each context begins with this. */
struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

/* Without the element when there are no more. */
struct context {
	struct bpf_iter_meta *meta;
	void *element;
};

struct context_of_map {
	struct bpf_iter_meta *meta;
	void *map;
	void *element; /* its key, or the socket */
};

#define EACH_OF(what, context)                                 \
	SEC("iter/" #what)                                     \
	int each_##what(struct context *ctx)                   \
	{                                                      \
		if (ctx->element)                              \
			bpf_seq_write(ctx->meta->seq, ".", 1); \
		return 0;                                      \
	}

#define EACH(what) EACH_OF(what, context)

EACH(task)
EACH(task_file)
EACH(task_vma)
EACH(bpf_map)
EACH(bpf_prog)
EACH(bpf_link)
EACH_OF(bpf_map_elem, context_of_map)
EACH_OF(bpf_sk_storage_map, context_of_map)
EACH_OF(sockmap, context_of_map)
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
