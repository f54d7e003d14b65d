/* SPDX-License-Identifier: MIT */
/* Why the kernel refused to create a map. The rules are those of the kernel's map_create and of each type's
 * map_alloc_check. */
#include "map/cause.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include <lauxlib.h>
#include <linux/bpf.h>

#include "base/cause.h"
#include "map/kinds.h"

#define TYPE(name) (UINT64_C(1) << BPF_MAP_TYPE_##name)
#define HASHES (TYPE(HASH) | TYPE(PERCPU_HASH) | TYPE(LRU_HASH) | TYPE(LRU_PERCPU_HASH) | TYPE(HASH_OF_MAPS))
#define LRU (TYPE(LRU_HASH) | TYPE(LRU_PERCPU_HASH))
#define ARRAYS (TYPE(ARRAY) | TYPE(PERCPU_ARRAY))
#define QUEUES (TYPE(QUEUE) | TYPE(STACK) | TYPE(BLOOM_FILTER))
#define DEVICES (TYPE(DEVMAP) | TYPE(DEVMAP_HASH))
#define SOCKETS (TYPE(SOCKMAP) | TYPE(SOCKHASH) | TYPE(REUSEPORT_SOCKARRAY))
#define RINGS (TYPE(RINGBUF) | TYPE(USER_RINGBUF))
#define CGROUP_STORAGES (TYPE(CGROUP_STORAGE) | TYPE(PERCPU_CGROUP_STORAGE))
#define PERCPU (TYPE(PERCPU_HASH) | TYPE(PERCPU_ARRAY) | TYPE(LRU_PERCPU_HASH))
#define CGRP_STORAGE (UINT64_C(1) << LBPF_MAP_TYPE_CGRP_STORAGE)
#define ARENA (UINT64_C(1) << LBPF_MAP_TYPE_ARENA)
#define STORAGES (TYPE(SK_STORAGE) | TYPE(INODE_STORAGE) | TYPE(TASK_STORAGE) | CGRP_STORAGE)
#define IDS                                                                                                          \
	(TYPE(PROG_ARRAY) | TYPE(PERF_EVENT_ARRAY) | TYPE(CGROUP_ARRAY) | TYPE(ARRAY_OF_MAPS) | TYPE(HASH_OF_MAPS) | \
	 TYPE(XSKMAP))

static bool is_one_of(const struct lbpf_mapcause *map, uint64_t types)
{
	return map->kind->type < 64 && types >> map->kind->type & 1;
}

/* Required sizes of keys or values by type, in addition to the rules for all types of a kind. */
struct sizes {
	uint64_t types;
	uint32_t bytes, or_bytes; /* if or_bytes is 0, any multiple of bytes */
	const char *cause;
};

static const struct sizes key_sizes[] = {
	{ TYPE(STACK_TRACE), 4, 4, "key must take 4 bytes, it is the number of a stack" },
	{ TYPE(DEVMAP_HASH), 4, 4, "key must take 4 bytes" },
	{ STORAGES, 4, 4, "key must be an int, it is a descriptor" },
	{ CGROUP_STORAGES, 8, 16, "key must be a struct bpf_cgroup_storage_key, or a cgroup's id of 8 bytes" },
	{ 0, 0, 0, NULL },
};

static const struct sizes value_sizes[] = {
	{ IDS, 4, 4, "value must take 4 bytes" },
	{ DEVICES | TYPE(CPUMAP) | SOCKETS, 4, 8, "value must take 4 or 8 bytes" },
	{ TYPE(STACK_TRACE), 8, 0, "value must take a multiple of 8 bytes, which the address of each frame takes" },
	{ 0, 0, 0, NULL },
};

static const char *size_invalid(const struct lbpf_mapcause *map, const struct sizes *row, uint32_t size)
{
	while (row->types && !is_one_of(map, row->types))
		row++;
	if (!row->types || (row->or_bytes ? size == row->bytes || size == row->or_bytes : size % row->bytes == 0))
		return NULL;
	return row->cause;
}

static const char *stack_invalid(const struct lbpf_mapcause *map)
{
	const bool by_id = map->flags & BPF_F_STACK_BUILD_ID;

	if (!is_one_of(map, TYPE(STACK_TRACE)))
		return NULL;
	if (by_id && map->value_size % 32)
		return "value must take a multiple of 32 bytes, which the build id and offset of each frame take";
	if (map->value_size / (by_id ? 32 : 8) > 127)
		return "value has room for more frames than kernel.perf_event_max_stack allows, by default 127";
	return NULL;
}

/* Pushes or returns which size of key or value the kernel must have found invalid. */
static const char *sizes_invalid(const struct lbpf_mapcause *map)
{
	uint32_t can = map->kind->can;
	const char *cause;

	if (can & LBPF_KEYLESS && map->key_size)
		return "key must be left out, this type has none";
	if (can & LBPF_VALUELESS && map->value_size)
		return "value must be left out, this type has none";
	if (can & LBPF_INDEXED && map->key_size != sizeof(uint32_t))
		return "key must take 4 bytes, it is the index of a slot";
	if (!(can & LBPF_KEYLESS) && map->key_size == 0)
		return "key is missing";
	if (map->value_size == 0 && !(can & LBPF_VALUELESS))
		return "value is missing";
	if (can & LBPF_STORAGE && map->kind->key && !map->typed)
		return "key and value must be C types, the kernel wants their BTF; the key's is int";
	if (is_one_of(map, TYPE(LPM_TRIE)) && (map->key_size < 5 || map->key_size > 260))
		return "key must be a __u32 and 1 to 256 bytes of data";
	cause = size_invalid(map, key_sizes, map->key_size);
	if (!cause)
		cause = size_invalid(map, value_sizes, map->value_size);
	return cause ? cause : stack_invalid(map);
}

static const char *entries_invalid(const struct lbpf_mapcause *map)
{
	long page = sysconf(_SC_PAGESIZE);

	if (map->kind->can & LBPF_STORAGE && map->max_entries)
		return "max_entries must be left out, the kernel makes entries as it needs them";
	if (!(map->kind->can & LBPF_STORAGE) && map->max_entries == 0)
		return "max_entries must be greater than 0";
	if (is_one_of(map, TYPE(DEVMAP_HASH)) && map->max_entries > UINT32_C(1) << 31)
		return "max_entries must be 2147483648 at most";
	if (is_one_of(map, RINGS) && (map->max_entries & (map->max_entries - 1) || map->max_entries % (uint32_t)page))
		return "max_entries must be a power of two and a multiple of the page size";
	return NULL;
}

static const char *extra_invalid(const struct lbpf_mapcause *map)
{
	bool is_arena = map->kind->can & LBPF_VIEW && map->kind->can & LBPF_KEYLESS;

	if (is_arena && map->extra % (uint64_t)sysconf(_SC_PAGESIZE))
		return "map_extra must be a multiple of the page size: it is the arena's address";
	if (is_one_of(map, TYPE(BLOOM_FILTER)) && map->extra > 15)
		return "map_extra must be from 0 to 15: it is the number of hash functions";
	if (map->extra && !is_arena && !is_one_of(map, TYPE(BLOOM_FILTER)))
		return "map_extra means nothing for this type";
	return NULL;
}

static const char *inner_invalid(const struct lbpf_mapcause *map)
{
	bool of_maps = map->kind->value == &lbpf_conv_inner;

	if (of_maps && !map->inner)
		return "inner is missing: a map, or options to create one, that the inner maps are like";
	if (!of_maps && map->inner)
		return "inner is for maps of maps";
	if (of_maps && map->inner->value == &lbpf_conv_inner)
		return "inner must be no map of maps itself";
	return NULL;
}

/* Flags that some types accept and all others refuse. */
static const struct {
	uint32_t flag;
	uint64_t types;
} flags_of[] = {
	{ BPF_F_NO_PREALLOC, HASHES | TYPE(LPM_TRIE) | STORAGES },
	{ BPF_F_NO_COMMON_LRU, LRU },
	{ BPF_F_NUMA_NODE, ~(PERCPU | STORAGES | ARENA) },
	{ BPF_F_RDONLY | BPF_F_WRONLY, ~(STORAGES | TYPE(CPUMAP) | RINGS | ARENA) },
	{ BPF_F_STACK_BUILD_ID, TYPE(STACK_TRACE) },
	{ BPF_F_ZERO_SEED, HASHES | TYPE(BLOOM_FILTER) },
	{ BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG,
	  HASHES | ARRAYS | QUEUES | TYPE(LPM_TRIE) | TYPE(REUSEPORT_SOCKARRAY) | CGROUP_STORAGES },
	{ BPF_F_CLONE, STORAGES },
	{ BPF_F_MMAPABLE, TYPE(ARRAY) | ARENA },
	{ BPF_F_PRESERVE_ELEMS, TYPE(PERF_EVENT_ARRAY) },
	{ BPF_F_INNER_MAP, TYPE(ARRAY) },
	{ LBPF_SEGV_ON_FAULT | LBPF_NO_USER_CONV, ARENA },
	{ LBPF_RB_OVERWRITE, TYPE(RINGBUF) },
};

/* Pushes which flag is invalid, or returns NULL. */
static const char *push_flag(lua_State *L, const struct lbpf_mapcause *map)
{
	for (size_t i = 0; i < sizeof(flags_of) / sizeof(*flags_of); i++) {
		uint32_t bad = is_one_of(map, flags_of[i].types) ? 0 : map->flags & flags_of[i].flag;

		for (const struct lbpf_name *n = lbpf_map_flags; bad && n->name; n++)
			if (bad & n->value)
				return lua_pushfstring(L, "flags: maps of type %s can't have '%s'", map->kind->name,
						       n->name);
	}
	if (map->flags & BPF_F_RDONLY && map->flags & BPF_F_WRONLY)
		return "flags: 'rdonly' and 'wronly' exclude each other";
	if (map->flags & BPF_F_RDONLY_PROG && map->flags & BPF_F_WRONLY_PROG)
		return "flags: 'rdonly_prog' and 'wronly_prog' exclude each other";
	if (is_one_of(map, TYPE(LPM_TRIE)) && !(map->flags & BPF_F_NO_PREALLOC))
		return "flags: an lpm_trie must have 'no_prealloc' (BPF_F_NO_PREALLOC)";
	return NULL;
}

static const char *push_node(lua_State *L, const struct lbpf_mapcause *map)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%u", map->numa_node);
	if (!(map->flags & BPF_F_NUMA_NODE) || access("/sys/devices/system/node", F_OK) || access(path, F_OK) == 0)
		return NULL;
	return lua_pushfstring(L, "numa_node: this machine has no node %I", (LUAI_UACINT)map->numa_node);
}

static const char *name_invalid(const char *name)
{
	while (lbpf_is_word(*name) || *name == '.')
		name++;
	return *name ? "name may have letters, digits, '_' and '.' only" : NULL;
}

/* Pushes which attribute the kernel must have found invalid. Returns NULL if that can't be known. */
static const char *push_invalid(lua_State *L, const struct lbpf_mapcause *map)
{
	static const char *(*const checks[])(const struct lbpf_mapcause *map) = { entries_invalid, sizes_invalid,
										  inner_invalid, extra_invalid };
	const char *cause = name_invalid(map->name);

	if (!cause && map->kind->type == BPF_MAP_TYPE_STRUCT_OPS)
		cause = "struct_ops are declared in objects: bpf.load";
	for (size_t i = 0; !cause && i < sizeof(checks) / sizeof(*checks); i++)
		cause = checks[i](map);
	if (!cause)
		cause = push_flag(L, map);
	if (!cause)
		cause = push_node(L, map);
	if (!cause && map->ifindex)
		cause = "ifindex: there is no such interface, or it takes no maps of this type";
	if (!cause && map->flags & ~(uint32_t)map->kind->flags)
		cause = "flags: one of them isn't valid for this type or with another";
	return cause;
}

/* The same for an attribute that the kernel doesn't support. */
static const char *push_unsupported(lua_State *L, const struct lbpf_mapcause *map)
{
	if (is_one_of(map, LRU) && map->flags & BPF_F_NO_PREALLOC)
		return "flags: LRU maps have all their entries from the start, they can't have 'no_prealloc'";
	if (map->ifindex)
		return "ifindex: the interface's driver takes no maps";
	if (map->owned)
		return "this type may not have locks, timers or other members of the kernel's in its values";
	if (map->inner)
		return lua_pushfstring(L, "inner: maps of type %s can't be in other maps", map->inner->name);
	return NULL;
}

/* Pushes the size that was asked for: `format` with the number of entries, or bytes for ring buffers and pages for
 * arenas, which have neither keys nor values. */
static const char *push_amount(lua_State *L, const struct lbpf_mapcause *map, const char *entries)
{
	LUAI_UACINT n = (LUAI_UACINT)map->max_entries;

	if (map->key_size || map->value_size)
		return lua_pushfstring(L, entries, n, (LUAI_UACINT)map->key_size, (LUAI_UACINT)map->value_size);
	return lua_pushfstring(L, "%I %s", n, map->kind->can & LBPF_VIEW ? "pages" : "bytes");
}

const char *lbpf_mapcause_needs(const struct lbpf_mapcause *map)
{
	if (map->flags & BPF_F_ZERO_SEED || map->ifindex)
		return "CAP_SYS_ADMIN";
	return is_one_of(map, DEVICES | TYPE(SOCKMAP) | TYPE(SOCKHASH) | TYPE(XSKMAP)) ? "CAP_BPF or CAP_NET_ADMIN"
										       : "CAP_BPF";
}

const char *lbpf_mapcause_push(lua_State *L, const struct lbpf_mapcause *map, int err)
{
	luaL_checkstack(L, 20, NULL);
	switch (err) {
	case EINVAL:
		return push_invalid(L, map);
	case ENOTSUPP:
	case EOPNOTSUPP:
		return push_unsupported(L, map);
	case ERANGE:
		return "map_extra: the arena would cross a border of 4 GiB";
	case EPERM:
		return lbpf_refused(L, lbpf_mapcause_needs(map));
	case ENOSYS:
		return lbpf_no_bpf();
	case ENOMEM:
		return lua_pushfstring(L, "the kernel found no memory for %s",
				       push_amount(L, map, "%I entries of %I + %I bytes"));
	case E2BIG:
		return lua_pushfstring(L, "too large: %s",
				       push_amount(L, map, "%I entries, keys of %I and values of %I bytes"));
	default:
		return NULL;
	}
}
