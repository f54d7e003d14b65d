/* SPDX-License-Identifier: MIT */
/* Map handles: what everything that works on a map's entries builds on. */
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

/* That making a handle may have open at a time: the map's, its BTF's and a file's. */
#define LBPF_MAP_DESCRIPTORS 4

struct lbpf_map {
	struct lbpf_head head;
	int fd;		    /* -1: closed, or not created yet */
	bool owns_fd;	    /* else it is the object's */
	bool untyped;	    /* it has BTF, which this process may not read */
	struct bpf_map *of; /* in the object that declares it; NULL for others and once the object is closed */
	struct btf *btf;    /* of that object, likewise */
	const struct lbpf_mapkind *kind;
	struct lbpf_type *key;	 /* NULL for keyless kinds */
	struct lbpf_type *value; /* of one CPU's value */
	uint32_t type, key_size, value_size, max_entries, flags;
	uint64_t extra;	 /* map_extra */
	uint32_t inner;	 /* type of the maps that a declared map of maps holds; 0 in others */
	uint32_t stride; /* bytes from one CPU's value to the next; value_size for plain kinds */
	uint32_t cpus;	 /* values in one element: 1 for plain kinds */
	struct lbpf_mapmem mem;
	char name[LBPF_MAP_NAME];
};

/* User values of a map. */
enum { LBPF_MAP_OWNER = 1, LBPF_MAP_KEY, LBPF_MAP_VALUE };

extern const struct lbpf_class lbpf_map_class;

/* Raises why a map without file descriptor can't be used. */
_Noreturn void lbpf_map_unusable(lua_State *L, const struct lbpf_map *map);

/* Raises that this kind has no such operation, and names those it has. */
_Noreturn void lbpf_map_cannot(lua_State *L, const struct lbpf_map *map, const char *operation);

/* The open map at idx that can do all of `can`; raises otherwise, with the operation's name. */
static inline struct lbpf_map *lbpf_map_check(lua_State *L, int idx, uint32_t can, const char *operation)
{
	struct lbpf_map *map = lbpf_class_check(L, idx, &lbpf_map_class);

	if (lbpf_unlikely(map->fd < 0))
		lbpf_map_unusable(L, map);
	if (lbpf_unlikely((map->kind->can & can) != can))
		lbpf_map_cannot(L, map, operation);
	return map;
}

/* Whether the map's entries, or the map itself, are memory that a process may map. */
static inline bool lbpf_map_has_memory(const struct lbpf_map *map)
{
	return map->flags & BPF_F_MMAPABLE && map->kind->can & LBPF_VIEW;
}

/* Whether the map's memory is at hand, mapped now or before; mem.err says why it isn't. */
bool lbpf_map_memory(struct lbpf_map *map);

/* Once the object that declares the map is loaded; whether that is a host's or owned. */
void lbpf_map_memory_loaded(struct lbpf_map *map, bool owned);

/* Where an array's slot lies in memory; NULL when a system call has to do, or to say why not. */
static inline uint8_t *lbpf_map_slot(struct lbpf_map *map, const void *key)
{
	uint32_t slot;

	if (!(map->flags & BPF_F_MMAPABLE) || !lbpf_map_memory(map))
		return NULL;
	memcpy(&slot, key, sizeof(slot));
	return slot < map->max_entries ? map->mem.base + (size_t)slot * ((map->value_size + 7u) / 8 * 8) : NULL;
}

/* Bytes of the value of all CPUs, as system calls take it. */
static inline size_t lbpf_map_bytes(const struct lbpf_map *map)
{
	return (size_t)map->stride * map->cpus;
}

/* Encodes by a conversion, which may run Lua code; raises if that closed the map. */
int lbpf_map_convert(lua_State *L, const struct lbpf_map *map, const struct lbpf_conv *conv, int idx, void *buf);

/* Both return 0, or an errno of what the key or value refers to; see conv.h for what they may leave on the stack. */
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

static inline void lbpf_map_decode_value(lua_State *L, const struct lbpf_map *map, const void *buf)
{
	if (lbpf_unlikely(map->kind->value != NULL))
		map->kind->value->decode(L, map, buf, 0);
	else
		lbpf_decode(L, map->value, buf, map->value_size);
}

/* nil, message, code for a failed operation on a map, or the same raised. */
int lbpf_map_fail(lua_State *L, const struct lbpf_map *map, int err, const char *operation);
_Noreturn void lbpf_map_raise(lua_State *L, const struct lbpf_map *map, int err, const char *operation);

/* What EINVAL says of an operation on an entry with these flags, or NULL. A lock would be a member that belongs to the
 * kernel. */
const char *lbpf_map_invalid(const struct lbpf_map *map, int err, uint64_t flags);

/* The same with the cause in words; NULL: what the errno means for the operation. */
int lbpf_map_fail_because(lua_State *L, const struct lbpf_map *map, int err, const char *cause, const char *operation);
_Noreturn void lbpf_map_raise_because(lua_State *L, const struct lbpf_map *map, int err, const char *cause,
				      const char *operation);

/* Pushes a closed handle. */
struct lbpf_map *lbpf_map_push_new(lua_State *L);

/* Pushes a closed handle that will own its descriptor; collects first where there are none. */
struct lbpf_map *lbpf_map_push_owned(lua_State *L);

/* What messages call the map. */
const char *lbpf_map_label(const struct lbpf_map *map);
void lbpf_map_set_name(struct lbpf_map *map, const char *name);

/* Sets the kind and what follows from it and the sizes. Returns 0, or the errno of lbpf_possible_cpus. */
int lbpf_map_set_kind(lua_State *L, struct lbpf_map *map, const struct lbpf_mapkind *kind);

/* Pushes the type that the spec at spec_idx means, by the BTF of the object of the map at map_idx if it has one. */
struct lbpf_type *lbpf_map_push_spec(lua_State *L, int map_idx, int spec_idx, const char *what);

/* Pops the type at the top into its user value of the map at idx; refuses one of another size. */
struct lbpf_type *lbpf_map_set_type(lua_State *L, int idx, int slot, uint32_t size, const char *what);

/* Types the map at the top, whose sizes are known, by BTF ids; raw bytes where there is none. */
void lbpf_map_set_types(lua_State *L, struct lbpf_map *map, const struct btf *btf, uint32_t key_id, uint32_t value_id);

/* Pushes the handle of a map declared in an object under a name. The object's handle is at stack index owner; the map's
 * borrows everything.
 * Call lbpf_map_loaded once the map exists in the kernel, and lbpf_map_orphan before the object goes. */
struct lbpf_map *lbpf_map_push_declared(lua_State *L, int owner, struct bpf_map *of, const char *name, struct btf *btf);
void lbpf_map_loaded(struct lbpf_map *map);

/* The descriptor of an object's map, or -1 while it doesn't exist in the kernel. For a map that isn't to be created,
 * libbpf since 1.4 gives another one, of something else, once the object is loaded. */
int lbpf_map_created_fd(const struct bpf_map *map);

void lbpf_map_orphan(struct lbpf_map *map);

/* Opener: adds the table `map` to the module table at the top. */
void lbpf_map_open(lua_State *L);

LBPF_HIDDEN_END

#endif
