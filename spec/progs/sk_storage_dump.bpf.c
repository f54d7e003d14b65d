// SPDX-License-Identifier: MIT
// Prints the marks of all the notes that a map keeps with sockets, one a line; for `bpftool iter pin`.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

/* What of the kernel's types is used here. */
struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
} __attribute__((preserve_access_index));

struct bpf_iter__bpf_sk_storage_map {
	struct bpf_iter_meta *meta;
	void *value;
} __attribute__((preserve_access_index));

SEC("iter/bpf_sk_storage_map")
int dump(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	__u32 *mark = ctx->value;

	if (mark)
		BPF_SEQ_PRINTF(seq, "%u\n", *mark);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
