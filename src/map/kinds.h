/* SPDX-License-Identifier: MIT */
/* The table of map types: the keys, values and operations of each. */
#ifndef LBPF_MAP_KINDS_H
#define LBPF_MAP_KINDS_H

#include <stdbool.h>
#include <stdint.h>

#include <lua.h>

#include "base/arg.h"
#include "base/compat.h"
#include "map/conv.h"

LBPF_HIDDEN_BEGIN

/* Newer than the headers of libbpf 1.1: map types, and creation flags. */
enum {
	LBPF_MAP_TYPE_CGRP_STORAGE = 32, /* Linux 6.2 */
	LBPF_MAP_TYPE_ARENA = 33,	 /* Linux 6.9, as these flags of arenas */
	LBPF_SEGV_ON_FAULT = 1 << 17,
	LBPF_NO_USER_CONV = 1 << 18,
};

/* The operations that user space has on maps of a kind, and properties of its entries. */
enum {
	LBPF_LOOKUP = 1 << 0,
	LBPF_UPDATE = 1 << 1,
	LBPF_DELETE = 1 << 2,
	LBPF_TAKE = 1 << 3,  /* look up and delete in one call */
	LBPF_WALK = 1 << 4,  /* iterate from key to key */
	LBPF_BATCH = 1 << 5, /* look up in batches whose cursor is valid even if entries are deleted */
	LBPF_PUSH = 1 << 6,
	LBPF_POP = 1 << 7, /* and peek */

	LBPF_CONTAINS = 1 << 8, /* ask whether a value has been pushed */
	LBPF_VIEW = 1 << 9,	/* map it into memory */

	/* Properties of entries. */
	/* The keys are the slots 0 to max_entries - 1, and every slot exists from the start */
	LBPF_INDEXED = 1 << 16,
	LBPF_PERCPU = 1 << 17, /* one value for each possible CPU */
	LBPF_KEYLESS = 1 << 18,
	LBPF_VALUELESS = 1 << 19,
	LBPF_NO_BTF = 1 << 20, /* the kernel refuses to create it with BTF */
	/* Entries are given by descriptors, which must stay open until the system call: so no batches of updates */
	LBPF_HANDLES = 1 << 21,
	/* keys are processes, files, sockets or cgroups; there is no max_entries */
	LBPF_STORAGE = 1 << 22,
};

struct lbpf_mapkind {
	const char *name; /* the kernel's name in lower case, without BPF_MAP_TYPE_ */
	uint32_t type;
	uint32_t can;		       /* operations and properties: the bits above */
	uint32_t flags;		       /* creation flags that the kernel requires */
	const struct lbpf_conv *key;   /* NULL: the codec */
	const struct lbpf_conv *value; /* NULL: the codec */
	/* The C type that map.create uses if the script gives none; NULL: the script must give one */
	const char *key_type;
	const char *value_type;
};

/* The row of a kernel map type. For an unknown type: a row whose keys and values are raw bytes. */
const struct lbpf_mapkind *lbpf_mapkind_of(uint32_t type);

/* Whether maps of a kind are memory without entries. */
static inline bool lbpf_mapkind_is_arena(const struct lbpf_mapkind *kind)
{
	return kind->can & LBPF_VIEW && kind->can & LBPF_VALUELESS;
}

/* For maps whose keys or values have no size: user space can't name their entries. */
extern const struct lbpf_mapkind lbpf_mapkind_opaque;

/* The row with this name. Raises for an unknown name, and lists all names. */
const struct lbpf_mapkind *lbpf_mapkind_named(lua_State *L, const char *name);

/* A creation flag of ring buffers since Linux 6.19: new records overwrite old ones, even if nobody has read these. */
#define LBPF_RB_OVERWRITE (1u << 19)

/* Creation flags by name: the kernel's names in lower case, without BPF_F_. */
extern const struct lbpf_name lbpf_map_flags[];

/* The number of CPUs that this kernel can ever have, or a negative errno. libbpf reads it once. */
int lbpf_possible_cpus(lua_State *L);

/* For the errno of lbpf_possible_cpus: pushes nil, "<what>: number of possible CPUs: <cause>" and the code, and returns
 * 3. */
int lbpf_possible_cpus_fail(lua_State *L, int err, const char *what);

LBPF_HIDDEN_END

#endif
