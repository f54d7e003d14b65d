/* SPDX-License-Identifier: MIT */
/* One table: what each map type's keys, values and operations are, and the conversions its rows name. */
#include "mapkinds.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <lauxlib.h>

#include "err.h"
#include "map.h"

/* ---- one value for each CPU: a sequence of all, or a single value that sets every CPU's ---- */

static void percpu_encode(lua_State *L, const struct lbpf_map *map, int idx, void *buf)
{
	char *p = buf;
	bool each = false;

	idx = lua_absindex(L, idx);
	memset(buf, 0, lbpf_map_bytes(map));
	if (lua_istable(L, idx)) {
		each = lua_rawgeti(L, idx, 1) != LUA_TNIL && lbpf_accepts(L, map->value, -1);
		lua_pop(L, 1);
	}
	if (!each) {
		lbpf_encode(L, map->value, idx, p, "value");
		for (uint32_t cpu = 1; cpu < map->cpus; cpu++)
			memcpy(p + (size_t)cpu * map->stride, p, map->value_size);
		return;
	}
	if (lua_rawlen(L, idx) != map->cpus)
		luaL_error(L, "value: %I values given for %I possible CPUs", (LUAI_UACINT)lua_rawlen(L, idx),
			   (LUAI_UACINT)map->cpus);
	for (uint32_t cpu = 0; cpu < map->cpus; cpu++) {
		lua_rawgeti(L, idx, (lua_Integer)cpu + 1);
		lbpf_encode(L, map->value, -1, p + (size_t)cpu * map->stride, "value");
		lua_pop(L, 1);
	}
}

static void percpu_decode(lua_State *L, const struct lbpf_map *map, const void *buf, int into)
{
	const char *p = buf;
	bool tables = into && map->value->node[0].kind >= LBPF_ARRAY;

	if (into)
		lua_pushvalue(L, into);
	else
		lua_createtable(L, (int)map->cpus, 0);
	for (uint32_t cpu = 0; cpu < map->cpus; cpu++, p += map->stride) {
		if (tables) {
			if (lua_rawgeti(L, -1, (lua_Integer)cpu + 1) == LUA_TTABLE) {
				lbpf_decode_into(L, map->value, p, map->value_size, -1);
				lua_pop(L, 2);
				continue;
			}
			lua_pop(L, 1);
		}
		lbpf_decode(L, map->value, p, map->value_size);
		lua_rawseti(L, -2, (lua_Integer)cpu + 1);
	}
}

static const struct lbpf_conv percpu_value = { percpu_encode, percpu_decode };

/* ---- prefixes: "10.0.0.0/8" and "2001:db8::/32" where the data has an address's length ---- */

struct prefix {
	uint32_t len; /* bits that count */
	uint8_t data[16];
};

static int prefix_family(const struct lbpf_map *map)
{
	switch (map->key_size) {
	case sizeof(uint32_t) + 4:
		return AF_INET;
	case sizeof(uint32_t) + 16:
		return AF_INET6;
	default:
		return AF_UNSPEC;
	}
}

/* The kernel takes keys that differ beyond the prefix for the same; so that they also read the same, clear that. */
static void prefix_clear_host(struct prefix *prefix, uint32_t bits)
{
	for (uint32_t bit = prefix->len; bit < bits; bit++)
		prefix->data[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
}

static bool prefix_parse(const char *text, int family, struct prefix *prefix)
{
	uint32_t bits = family == AF_INET ? 32 : 128;
	const char *slash = strchr(text, '/');
	char addr[INET6_ADDRSTRLEN], *end;
	size_t len = slash ? (size_t)(slash - text) : strlen(text);

	if (len >= sizeof(addr))
		return false;
	memcpy(addr, text, len);
	addr[len] = '\0';
	prefix->len = bits;
	if (slash) {
		unsigned long n = strtoul(slash + 1, &end, 10);

		if (slash[1] < '0' || slash[1] > '9' || *end || n > bits)
			return false;
		prefix->len = (uint32_t)n;
	}
	if (inet_pton(family, addr, prefix->data) != 1)
		return false;
	prefix_clear_host(prefix, bits);
	return true;
}

static void prefix_encode(lua_State *L, const struct lbpf_map *map, int idx, void *buf)
{
	int family = prefix_family(map);
	struct prefix prefix;
	const char *text;
	size_t len;

	if (family == AF_UNSPEC || lua_type(L, idx) != LUA_TSTRING) {
		lbpf_encode(L, map->key, idx, buf, "key");
		return;
	}
	text = lua_tolstring(L, idx, &len);
	if (strlen(text) == len && prefix_parse(text, family, &prefix))
		memcpy(buf, &prefix, map->key_size);
	else if (map->key->node[0].kind == LBPF_RAW && len == map->key_size)
		memcpy(buf, text, len);
	else
		luaL_error(L, "key: '%s' is no %s prefix such as \"%s\"", text, family == AF_INET ? "IPv4" : "IPv6",
			   family == AF_INET ? "10.0.0.0/8" : "2001:db8::/32");
}

static void prefix_decode(lua_State *L, const struct lbpf_map *map, const void *buf, int into)
{
	int family = prefix_family(map);
	struct prefix prefix;
	char addr[INET6_ADDRSTRLEN];

	(void)into;
	if (family == AF_UNSPEC) {
		lbpf_decode(L, map->key, buf, map->key_size);
		return;
	}
	memcpy(&prefix, buf, map->key_size);
	inet_ntop(family, prefix.data, addr, sizeof(addr));
	lua_pushfstring(L, "%s/%I", addr, (LUAI_UACINT)prefix.len);
}

static const struct lbpf_conv prefix_key = { prefix_encode, prefix_decode };

/* ---- the table ---- */

#define ENTRIES (LBPF_LOOKUP | LBPF_UPDATE | LBPF_DELETE | LBPF_WALK)
#define SLOTS (LBPF_LOOKUP | LBPF_UPDATE | LBPF_WALK | LBPF_BATCH | LBPF_INDEXED)

static const struct lbpf_mapkind kinds[] = {
	{ .name = "hash", .type = BPF_MAP_TYPE_HASH, .can = ENTRIES | LBPF_TAKE | LBPF_BATCH },
	{ .name = "array", .type = BPF_MAP_TYPE_ARRAY, .can = SLOTS },
	{ .name = "percpu_hash",
	  .type = BPF_MAP_TYPE_PERCPU_HASH,
	  .can = ENTRIES | LBPF_TAKE | LBPF_BATCH | LBPF_PERCPU,
	  .value = &percpu_value },
	{ .name = "percpu_array",
	  .type = BPF_MAP_TYPE_PERCPU_ARRAY,
	  .can = SLOTS | LBPF_PERCPU,
	  .value = &percpu_value },
	{ .name = "lru_hash", .type = BPF_MAP_TYPE_LRU_HASH, .can = ENTRIES | LBPF_TAKE | LBPF_BATCH },
	{ .name = "lru_percpu_hash",
	  .type = BPF_MAP_TYPE_LRU_PERCPU_HASH,
	  .can = ENTRIES | LBPF_TAKE | LBPF_BATCH | LBPF_PERCPU,
	  .value = &percpu_value },
	/* its batches go on from the last key, and start over when that has been deleted: so no LBPF_BATCH */
	{ .name = "lpm_trie",
	  .type = BPF_MAP_TYPE_LPM_TRIE,
	  .can = ENTRIES,
	  .flags = BPF_F_NO_PREALLOC,
	  .key = &prefix_key },
	{ .name = "queue", .type = BPF_MAP_TYPE_QUEUE, .can = LBPF_PUSH | LBPF_POP | LBPF_KEYLESS | LBPF_NO_BTF },
	{ .name = "stack", .type = BPF_MAP_TYPE_STACK, .can = LBPF_PUSH | LBPF_POP | LBPF_KEYLESS | LBPF_NO_BTF },
	{ .name = "ringbuf", .type = BPF_MAP_TYPE_RINGBUF, .can = LBPF_KEYLESS | LBPF_NO_BTF },
	{ .name = "user_ringbuf", .type = BPF_MAP_TYPE_USER_RINGBUF, .can = LBPF_KEYLESS | LBPF_NO_BTF },
	{ .name = "bloom_filter", .type = BPF_MAP_TYPE_BLOOM_FILTER, .can = LBPF_KEYLESS },
	{ .name = "percpu_cgroup_storage",
	  .type = BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE,
	  .can = LBPF_LOOKUP | LBPF_UPDATE | LBPF_WALK | LBPF_PERCPU,
	  .value = &percpu_value },
	{ .name = "struct_ops", .type = BPF_MAP_TYPE_STRUCT_OPS }, /* its value changes size with the load */
};

/* Map types without a row of their own: entries are bytes, and the kernel says what is possible. */
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

const struct lbpf_name lbpf_map_flags[] = {
	{ "no_prealloc", BPF_F_NO_PREALLOC }, { "no_common_lru", BPF_F_NO_COMMON_LRU },
	{ "numa_node", BPF_F_NUMA_NODE },     { "rdonly", BPF_F_RDONLY },
	{ "wronly", BPF_F_WRONLY },	      { "stack_build_id", BPF_F_STACK_BUILD_ID },
	{ "zero_seed", BPF_F_ZERO_SEED },     { "rdonly_prog", BPF_F_RDONLY_PROG },
	{ "wronly_prog", BPF_F_WRONLY_PROG }, { "clone", BPF_F_CLONE },
	{ "mmapable", BPF_F_MMAPABLE },	      { "preserve_elems", BPF_F_PRESERVE_ELEMS },
	{ "inner_map", BPF_F_INNER_MAP },     { NULL, 0 },
};

int lbpf_possible_cpus(lua_State *L)
{
	struct lbpf_log *log = lbpf_log_begin(L);
	int n = libbpf_num_possible_cpus();

	lbpf_log_end(log);
	if (n <= 0)
		lbpf_err_raise(L, n, NULL, "number of possible CPUs");
	return n;
}
