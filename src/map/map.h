/* SPDX-License-Identifier: MIT */
/* Map handles: what all other files of this folder build on. */
#ifndef LBPF_MAP_H
#define LBPF_MAP_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include "base/class.h"
#include "base/compat.h"
#include "base/spare.h"
#include "map/kinds.h"
#include "map/memory.h"
#include "value/codec.h"
#include "value/key.h"

LBPF_HIDDEN_BEGIN

#define LBPF_MAP_NAME 64

/* How many descriptors creating a handle may have open at a time: the map's, its BTF's, a file's. */
#define LBPF_MAP_DESCRIPTORS 4

struct lbpf_map {
	struct lbpf_head head;
	int fd;	       /* -1: closed, or not created yet */
	bool owns_fd;  /* false: fd belongs to the object */
	bool untyped;  /* the map has BTF, but this process may not read it */
	bool template; /* what an object declares for the maps in a map of maps, which is no map itself: like.c */
	bool column;   /* it shows some members of the values, and can't write: column.c */
	/* libbpf's map in the object that declares it; NULL for other maps and once the object is closed */
	struct bpf_map *of;
	struct btf *btf; /* of that object; NULL likewise */
	const struct lbpf_mapkind *kind;
	struct lbpf_type *key;	 /* NULL for keyless kinds */
	struct lbpf_type *value; /* for per-CPU kinds, of one CPU's value */
	uint32_t at;		 /* of a column: where in the kernel's value its own begins; 0 otherwise */
	uint32_t type, key_size, value_size, max_entries, flags;
	uint64_t extra; /* map_extra */
	/* For a map of maps that an object declares: the type of its maps; otherwise 0 */
	uint32_t inner;
	uint32_t stride; /* bytes from one CPU's value to the next; value_size for other kinds */
	uint32_t cpus;	 /* how many values an entry has: 1 for other kinds */
	struct lbpf_mapmem mem;
	char name[LBPF_MAP_NAME];
};

/* User values of a map. LBPF_MAP_INNER: of a map of maps, the template of its maps, if it is known. */
enum { LBPF_MAP_OWNER = 1, LBPF_MAP_KEY, LBPF_MAP_VALUE, LBPF_MAP_INNER, LBPF_MAP_SLOTS = LBPF_MAP_INNER };

extern const struct lbpf_class lbpf_map_class;

/* Raises an error that says why a map without a descriptor can't be used. */
_Noreturn void lbpf_map_unusable(lua_State *L, const struct lbpf_map *map);

/* Raises an error: this kind has no such operation. Lists the operations that it has. */
_Noreturn void lbpf_map_cannot(lua_State *L, const struct lbpf_map *map, const char *operation);

/* Returns the open map at idx, whose kind has all operations of `can`. Raises otherwise, with the operation's name. */
static inline struct lbpf_map *lbpf_map_check(lua_State *L, int idx, uint32_t can, const char *operation)
{
	struct lbpf_map *map = lbpf_class_check(L, idx, &lbpf_map_class);

	if (lbpf_unlikely(map->fd < 0))
		lbpf_map_unusable(L, map);
	if (lbpf_unlikely((map->kind->can & can) != can))
		lbpf_map_cannot(L, map, operation);
	return map;
}

/* Whether a process may map the map's entries, or an arena, into memory. */
static inline bool lbpf_map_has_memory(const struct lbpf_map *map)
{
	return map->flags & BPF_F_MMAPABLE && map->kind->can & LBPF_VIEW;
}

/* Maps the map's memory, unless it is mapped already. Returns whether it is mapped; if not, mem.err says why. */
bool lbpf_map_memory(struct lbpf_map *map);

/* Called once the object that declares the map is loaded. `owned` is whether the module owns the object, rather than a
 * host. */
void lbpf_map_memory_loaded(struct lbpf_map *map, bool owned);

/* The memory of an array's slot. NULL if a system call has to do, which may also fail and say why. */
static inline uint8_t *lbpf_map_slot(struct lbpf_map *map, const void *key)
{
	uint32_t slot;

	if (!(map->flags & BPF_F_MMAPABLE) || !lbpf_map_memory(map))
		return NULL;
	memcpy(&slot, key, sizeof(slot));
	return slot < map->max_entries ? map->mem.base + (size_t)slot * ((map->value_size + 7u) / 8 * 8) : NULL;
}

/* Size of the values of all CPUs, as system calls take them. */
static inline size_t lbpf_map_bytes(const struct lbpf_map *map)
{
	return (size_t)map->stride * map->cpus;
}

/* Encodes a key or value by a conversion, which may run Lua code. Raises if that code closed the map. */
int lbpf_map_convert(lua_State *L, const struct lbpf_map *map, const struct lbpf_conv *conv, int idx, void *buf);

/* Both return 0, or an errno about the thing that the key or value names. conv.h says what they may leave on the
 * stack. */
static inline int lbpf_map_encode_key(lua_State *L, const struct lbpf_map *map, int idx, void *buf)
{
	if (lbpf_unlikely(map->kind->key != NULL)) {
		memset(buf, 0, map->key_size);
		return lbpf_map_convert(L, map, map->kind->key, idx, buf);
	}
	lbpf_key_encode(L, map->key, idx, buf);
	return 0;
}

static inline void lbpf_map_decode_key(lua_State *L, const struct lbpf_map *map, const void *buf)
{
	if (lbpf_unlikely(map->kind->key != NULL))
		map->kind->key->decode(L, map, buf, 0);
	else
		lbpf_key_decode(L, map->key, buf);
}

static inline int lbpf_map_encode_value(lua_State *L, const struct lbpf_map *map, int idx, void *buf)
{
	if (lbpf_unlikely(map->kind->value != NULL)) {
		memset(buf, 0, lbpf_map_bytes(map));
		return lbpf_map_convert(L, map, map->kind->value, idx, buf);
	}
	lbpf_encode(L, map->value, idx, buf, "value");
	return 0;
}

/* Pushes the value of one CPU, or that of a map that isn't per-CPU. */
static inline void lbpf_map_decode_one(lua_State *L, const struct lbpf_map *map, const void *buf)
{
	lbpf_decode(L, map->value, (const uint8_t *)buf + map->at, map->value->size);
}

/* Pushes the sum of all CPUs' values. */
static inline void lbpf_map_decode_sum(lua_State *L, const struct lbpf_map *map, const void *buf)
{
	lbpf_decode_sum(L, map->value, (const uint8_t *)buf + map->at, map->stride, (int)map->cpus);
}

static inline void lbpf_map_decode_value(lua_State *L, const struct lbpf_map *map, const void *buf)
{
	if (lbpf_unlikely(map->kind->value != NULL))
		map->kind->value->decode(L, map, buf, 0);
	else
		lbpf_map_decode_one(L, map, buf);
}

/* Push nil, message and code for a failed operation on a map, or raise the message. */
int lbpf_map_fail(lua_State *L, const struct lbpf_map *map, int err, const char *operation);
_Noreturn void lbpf_map_raise(lua_State *L, const struct lbpf_map *map, int err, const char *operation);

/* What EINVAL means for an operation on an entry with these flags, or NULL. Values have a lock only if some members of
 * theirs belong to the kernel. */
const char *lbpf_map_invalid(const struct lbpf_map *map, int err, uint64_t flags);

/* Like those, with the cause in words; NULL stands for what the errno means for the operation. */
int lbpf_map_fail_because(lua_State *L, const struct lbpf_map *map, int err, const char *cause, const char *operation);
_Noreturn void lbpf_map_raise_because(lua_State *L, const struct lbpf_map *map, int err, const char *cause,
				      const char *operation);

/* Pushes a closed handle. */
struct lbpf_map *lbpf_map_push_new(lua_State *L);

/* Pushes a closed handle that will own its descriptor. If no descriptors are available, runs a collection first. */
struct lbpf_map *lbpf_map_push_owned(lua_State *L);

/* The name of the map in messages. */
const char *lbpf_map_label(const struct lbpf_map *map);
void lbpf_map_set_name(struct lbpf_map *map, const char *name);

/* Sets the kind and the fields that follow from it and from the sizes. Returns 0, or the errno of
 * lbpf_possible_cpus. */
int lbpf_map_set_kind(lua_State *L, struct lbpf_map *map, const struct lbpf_mapkind *kind);

/* Pushes the type that the value at spec_idx means (see lbpf_btf_spec). Names are looked up in the BTF of the object
 * that declares the map at map_idx, if there is one. */
struct lbpf_type *lbpf_map_push_spec(lua_State *L, int map_idx, int spec_idx, const char *what);

/* Pops the type at the top and stores it in its user value of the map at idx. Raises if the type has another size. */
struct lbpf_type *lbpf_map_set_type(lua_State *L, int idx, int slot, uint32_t size, const char *what);

/* Sets the types of the map at the top, whose sizes are known, by BTF ids; raw bytes if there are none. */
void lbpf_map_set_types(lua_State *L, struct lbpf_map *map, const struct btf *btf, uint32_t key_id, uint32_t value_id);

/* Pushes the handle of a map that an object declares under a name. The object's handle is at stack index `owner`; the
 * map borrows everything from it. Call lbpf_map_loaded once the map exists in the kernel, and lbpf_map_orphan before
 * the object is freed. */
struct lbpf_map *lbpf_map_push_declared(lua_State *L, int owner, struct bpf_map *of, const char *name, struct btf *btf);
void lbpf_map_loaded(struct lbpf_map *map);

/* The descriptor of an object's map, or -1 while the map doesn't exist in the kernel. libbpf 1.4 and newer return an
 * unrelated descriptor for a map that isn't created, once the object is loaded. */
int lbpf_map_created_fd(const struct bpf_map *map);

void lbpf_map_orphan(struct lbpf_map *map);

/* Opener: adds the table `map` to the module table at the top. */
LBPF_OPENER lbpf_map_open(lua_State *L);

LBPF_HIDDEN_END

#endif
