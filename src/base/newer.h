/* SPDX-License-Identifier: MIT */
/* libbpf functions newer than 1.1, under names of our own. The symbols are weak: the module loads without them, and
 * they are NULL then. Their options are passed in structs of our own with the same layout; the field sz is the struct's
 * length. */
#ifndef LBPF_BASE_NEWER_H
#define LBPF_BASE_NEWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bpf/libbpf.h>

#define LBPF_NEWER(symbol) __asm__(#symbol) __attribute__((weak, visibility("default")))

struct lbpf_uprobe_multi_opts { /* 1.3; session 1.6 */
	size_t sz;
	const char **syms;
	const unsigned long *offsets, *ref_ctr_offsets;
	const uint64_t *cookies;
	size_t cnt;
	bool retprobe, session;
	size_t : 0;
};

struct lbpf_kprobe_multi_opts { /* session 1.5, unique_match 1.6 */
	size_t sz;
	const char **syms;
	const unsigned long *addrs;
	const uint64_t *cookies;
	size_t cnt;
	bool retprobe, session, unique_match;
	size_t : 0;
};

struct lbpf_raw_tracepoint_opts { /* 1.4 */
	size_t sz;
	uint64_t cookie;
	size_t : 0;
};

struct lbpf_mprog_opts { /* of tcx and netkit, 1.3, and of cgroups, 1.6 */
	size_t sz;
	uint32_t flags, relative_fd, relative_id;
	uint64_t expected_revision;
	size_t : 0;
};

struct lbpf_netfilter_opts { /* 1.3 */
	size_t sz;
	uint32_t pf, hooknum;
	int32_t priority;
	uint32_t flags;
	size_t : 0;
};

struct lbpf_object_open_opts { /* bpf_token_path 1.4 */
	size_t sz;
	const char *object_name;
	bool relaxed_maps;
	const char *pin_root_path;
	uint32_t : 32;
	const char *kconfig, *btf_custom_path;
	char *kernel_log_buf;
	size_t kernel_log_size;
	uint32_t kernel_log_level;
	const char *bpf_token_path;
	size_t : 0;
};

extern struct bpf_object *lbpf_newer_open_mem(const void *bytes, size_t size, const struct lbpf_object_open_opts *opts)
	LBPF_NEWER(bpf_object__open_mem); /* in libbpf 1.1 as well, with shorter options */
/* Since libbpf 1.5. Only then loading with a token works completely: 1.4 has tokens, but probes the kernel's features
 * without them. */
extern int lbpf_newer_token_fd(const struct bpf_object *obj) LBPF_NEWER(bpf_object__token_fd);
extern struct bpf_link *lbpf_newer_uprobe_multi(const struct bpf_program *prog, pid_t pid, const char *path,
						const char *pattern, const struct lbpf_uprobe_multi_opts *opts)
	LBPF_NEWER(bpf_program__attach_uprobe_multi);
extern struct bpf_link *lbpf_newer_raw_tracepoint(const struct bpf_program *prog, const char *name,
						  const struct lbpf_raw_tracepoint_opts *opts)
	LBPF_NEWER(bpf_program__attach_raw_tracepoint_opts);
extern struct bpf_link *lbpf_newer_tcx(const struct bpf_program *prog, int ifindex, const struct lbpf_mprog_opts *opts)
	LBPF_NEWER(bpf_program__attach_tcx);
extern struct bpf_link *lbpf_newer_netkit(const struct bpf_program *prog, int ifindex,
					  const struct lbpf_mprog_opts *opts) LBPF_NEWER(bpf_program__attach_netkit);
extern struct bpf_link *lbpf_newer_netfilter(const struct bpf_program *prog, const struct lbpf_netfilter_opts *opts)
	LBPF_NEWER(bpf_program__attach_netfilter);
extern struct bpf_link *lbpf_newer_cgroup(const struct bpf_program *prog, int fd, const struct lbpf_mprog_opts *opts)
	LBPF_NEWER(bpf_program__attach_cgroup_opts);
extern struct bpf_link *lbpf_newer_sockmap(const struct bpf_program *prog, int fd)
	LBPF_NEWER(bpf_program__attach_sockmap);
extern int lbpf_newer_update_map(struct bpf_link *link, const struct bpf_map *map) LBPF_NEWER(bpf_link__update_map);

#endif
