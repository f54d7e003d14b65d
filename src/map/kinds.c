/* SPDX-License-Identifier: MIT */
/* The table of map types: the keys, values and operations of each. */
#include "map/kinds.h"

#include <errno.h>
#include <string.h>

#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include "base/cause.h"
#include "base/err.h"
#include "base/log.h"

#define ENTRIES (LBPF_LOOKUP | LBPF_UPDATE | LBPF_DELETE | LBPF_WALK)
#define HASH (ENTRIES | LBPF_TAKE | LBPF_BATCH)
#define ARRAY (LBPF_LOOKUP | LBPF_UPDATE | LBPF_WALK | LBPF_BATCH | LBPF_INDEXED)
#define REFERENCES (LBPF_INDEXED | LBPF_HANDLES)
#define STORAGE (LBPF_LOOKUP | LBPF_UPDATE | LBPF_DELETE | LBPF_HANDLES | LBPF_STORAGE)
#define QUEUE (LBPF_PUSH | LBPF_POP | LBPF_KEYLESS | LBPF_NO_BTF)
#define RING (LBPF_KEYLESS | LBPF_VALUELESS | LBPF_NO_BTF)

#define CGROUP_KEY "struct bpf_cgroup_storage_key { __u64 cgroup_inode_id; __u32 attach_type; }"
#define TARGET(number) "struct target { __u32 " number "; __u32 prog; }"

/* clang-format off */
static const struct lbpf_mapkind kinds[] = {
	{ "hash", BPF_MAP_TYPE_HASH, HASH, 0, NULL, NULL, NULL, NULL },
	{ "array", BPF_MAP_TYPE_ARRAY, ARRAY | LBPF_VIEW, 0, NULL, NULL, "__u32", NULL },
	{ "percpu_hash", BPF_MAP_TYPE_PERCPU_HASH, HASH | LBPF_PERCPU, 0, NULL, &lbpf_conv_percpu, NULL, NULL },
	{ "percpu_array", BPF_MAP_TYPE_PERCPU_ARRAY, ARRAY | LBPF_PERCPU, 0, NULL, &lbpf_conv_percpu, "__u32", NULL },
	{ "lru_hash", BPF_MAP_TYPE_LRU_HASH, HASH, 0, NULL, NULL, NULL, NULL },
	{ "lru_percpu_hash", BPF_MAP_TYPE_LRU_PERCPU_HASH, HASH | LBPF_PERCPU, 0, NULL, &lbpf_conv_percpu, NULL, NULL },
	/* its batches have the last key as their cursor, and start over if that has been deleted; so no LBPF_BATCH */
	{ "lpm_trie", BPF_MAP_TYPE_LPM_TRIE, ENTRIES, BPF_F_NO_PREALLOC, &lbpf_conv_prefix, NULL, NULL, NULL },
	{ "queue", BPF_MAP_TYPE_QUEUE, QUEUE, 0, NULL, NULL, NULL, NULL },
	{ "stack", BPF_MAP_TYPE_STACK, QUEUE, 0, NULL, NULL, NULL, NULL },
	{ "bloom_filter", BPF_MAP_TYPE_BLOOM_FILTER, LBPF_PUSH | LBPF_CONTAINS | LBPF_KEYLESS, 0, NULL, NULL, NULL, NULL },

	{ "prog_array", BPF_MAP_TYPE_PROG_ARRAY, ENTRIES | REFERENCES, 0, NULL, &lbpf_conv_program, "__u32", "__u32" },
	{ "array_of_maps", BPF_MAP_TYPE_ARRAY_OF_MAPS, ENTRIES | REFERENCES, 0, NULL, &lbpf_conv_inner, "__u32", "__u32" },
	{ "hash_of_maps", BPF_MAP_TYPE_HASH_OF_MAPS, ENTRIES | LBPF_BATCH | LBPF_HANDLES, 0, NULL, &lbpf_conv_inner, NULL,
	  "__u32" },
	{ "perf_event_array", BPF_MAP_TYPE_PERF_EVENT_ARRAY, LBPF_UPDATE | LBPF_DELETE | REFERENCES, 0, NULL,
	  &lbpf_conv_descriptor, "__u32", "__u32" },
	{ "cgroup_array", BPF_MAP_TYPE_CGROUP_ARRAY, LBPF_UPDATE | LBPF_DELETE | REFERENCES, 0, NULL, &lbpf_conv_path, "__u32",
	  "__u32" },
	{ "stack_trace", BPF_MAP_TYPE_STACK_TRACE, LBPF_LOOKUP | LBPF_DELETE | LBPF_TAKE | LBPF_WALK, 0, NULL,
	  &lbpf_conv_stack, "__u32", "__u64[127]" },

	{ "devmap", BPF_MAP_TYPE_DEVMAP, ENTRIES | REFERENCES, 0, NULL, &lbpf_conv_device, "__u32", TARGET("ifindex") },
	{ "devmap_hash", BPF_MAP_TYPE_DEVMAP_HASH, ENTRIES | LBPF_HANDLES, 0, NULL, &lbpf_conv_device, "__u32",
	  TARGET("ifindex") },
	{ "cpumap", BPF_MAP_TYPE_CPUMAP, ENTRIES | REFERENCES, 0, NULL, &lbpf_conv_cpu, "__u32", TARGET("qsize") },
	{ "xskmap", BPF_MAP_TYPE_XSKMAP, LBPF_UPDATE | LBPF_DELETE | REFERENCES, 0, NULL, &lbpf_conv_descriptor, "__u32",
	  "__u32" },
	{ "sockmap", BPF_MAP_TYPE_SOCKMAP, ENTRIES | REFERENCES, 0, NULL, &lbpf_conv_socket, "__u32", "__u64" },
	{ "sockhash", BPF_MAP_TYPE_SOCKHASH, ENTRIES | LBPF_HANDLES, 0, NULL, &lbpf_conv_socket, NULL, "__u64" },
	{ "reuseport_sockarray", BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, ENTRIES | REFERENCES, 0, NULL, &lbpf_conv_socket, "__u32",
	  "__u64" },

	{ "sk_storage", BPF_MAP_TYPE_SK_STORAGE, STORAGE, BPF_F_NO_PREALLOC, &lbpf_conv_descriptor, NULL, "int", NULL },
	{ "inode_storage", BPF_MAP_TYPE_INODE_STORAGE, STORAGE, BPF_F_NO_PREALLOC, &lbpf_conv_path, NULL, "int", NULL },
	{ "task_storage", BPF_MAP_TYPE_TASK_STORAGE, STORAGE, BPF_F_NO_PREALLOC, &lbpf_conv_process, NULL, "int", NULL },
	{ "cgrp_storage", LBPF_MAP_TYPE_CGRP_STORAGE, STORAGE, BPF_F_NO_PREALLOC, &lbpf_conv_path, NULL, "int", NULL },
	/* the kernel creates and frees the entries, together with attachments */
	{ "cgroup_storage", BPF_MAP_TYPE_CGROUP_STORAGE, LBPF_LOOKUP | LBPF_UPDATE | LBPF_WALK | LBPF_STORAGE, 0, NULL, NULL,
	  CGROUP_KEY, NULL },
	{ "percpu_cgroup_storage", BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE,
	  LBPF_LOOKUP | LBPF_UPDATE | LBPF_WALK | LBPF_STORAGE | LBPF_PERCPU, 0, NULL, &lbpf_conv_percpu, CGROUP_KEY, NULL },

	{ "ringbuf", BPF_MAP_TYPE_RINGBUF, RING, 0, NULL, NULL, NULL, NULL },
	{ "user_ringbuf", BPF_MAP_TYPE_USER_RINGBUF, RING, 0, NULL, NULL, NULL, NULL },
	{ "arena", LBPF_MAP_TYPE_ARENA, LBPF_VIEW | LBPF_KEYLESS | LBPF_VALUELESS | LBPF_NO_BTF, BPF_F_MMAPABLE, NULL, NULL, NULL,
	  NULL },
	/* declared in objects only; its value changes size with the load */
	{ "struct_ops", BPF_MAP_TYPE_STRUCT_OPS, LBPF_NO_BTF, 0, NULL, NULL, NULL, NULL },
};
/* clang-format on */

/* Map types without a row: keys and values are bytes, and the kernel says which operations are possible. */
static const struct lbpf_mapkind other = { .name = "other", .can = ENTRIES | LBPF_TAKE };

const struct lbpf_mapkind lbpf_mapkind_opaque = { .name = "other", .can = LBPF_KEYLESS };

const struct lbpf_mapkind *lbpf_mapkind_of(uint32_t type)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (kinds[i].type == type)
			return &kinds[i];
	return &other;
}

const struct lbpf_mapkind *lbpf_mapkind_named(lua_State *L, const char *name)
{
	struct lbpf_name names[sizeof(kinds) / sizeof(*kinds) + 1] = { 0 };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
		names[i] = (struct lbpf_name){ kinds[i].name, i };
	}
	lbpf_name_unknown(L, names, "map type", name);
}

/* By number if the headers of libbpf 1.1 don't have the flag. */
const struct lbpf_name lbpf_map_flags[] = {
	{ "no_prealloc", BPF_F_NO_PREALLOC },
	{ "no_common_lru", BPF_F_NO_COMMON_LRU },
	{ "numa_node", BPF_F_NUMA_NODE },
	{ "rdonly", BPF_F_RDONLY },
	{ "wronly", BPF_F_WRONLY },
	{ "stack_build_id", BPF_F_STACK_BUILD_ID },
	{ "zero_seed", BPF_F_ZERO_SEED },
	{ "rdonly_prog", BPF_F_RDONLY_PROG },
	{ "wronly_prog", BPF_F_WRONLY_PROG },
	{ "clone", BPF_F_CLONE },
	{ "mmapable", BPF_F_MMAPABLE },
	{ "preserve_elems", BPF_F_PRESERVE_ELEMS },
	{ "inner_map", BPF_F_INNER_MAP },
	{ "link", 1 << 13 },
	{ "path_fd", 1 << 14 },
	{ "vtype_btf_obj_fd", 1 << 15 },
	{ "token_fd", 1 << 16 },
	{ "segv_on_fault", LBPF_SEGV_ON_FAULT },
	{ "no_user_conv", LBPF_NO_USER_CONV },
	{ "rb_overwrite", LBPF_RB_OVERWRITE },
	{ NULL, 0 },
};

int lbpf_possible_cpus(lua_State *L)
{
	struct lbpf_log *log = lbpf_log_begin(L);
	int n = libbpf_num_possible_cpus();

	lbpf_log_end(log);
	return n == 0 ? -EINVAL : n;
}

int lbpf_possible_cpus_fail(lua_State *L, int err, const char *what)
{
	return lbpf_err_push(L, err, err == -ENOENT ? lbpf_no_sys() : NULL, "%s: number of possible CPUs", what);
}
