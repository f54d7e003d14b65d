/* SPDX-License-Identifier: MIT */
/* One table: what each map type's keys, values and operations are. */
#ifndef LBPF_MAP_KINDS_H
#define LBPF_MAP_KINDS_H

#include <stdbool.h>
#include <stdint.h>

#include <lua.h>

#include "base/arg.h"
#include "base/compat.h"
#include "map/conv.h"

LBPF_HIDDEN_BEGIN

/* What user space can do with a map of some kind. */
enum {
	LBPF_LOOKUP = 1 << 0,
	LBPF_UPDATE = 1 << 1,
	LBPF_DELETE = 1 << 2,
	LBPF_TAKE = 1 << 3,  /* look up and delete, by key */
	LBPF_WALK = 1 << 4,  /* step from key to key */
	LBPF_BATCH = 1 << 5, /* look-up in batches whose cursor no deletion can confuse */
	LBPF_PUSH = 1 << 6,
	LBPF_POP = 1 << 7, /* and peek */

	LBPF_CONTAINS = 1 << 8, /* ask whether a value was pushed */
	LBPF_VIEW = 1 << 9,	/* read and write it as memory */

	/* and how its elements are */
	LBPF_INDEXED = 1 << 16, /* keys are the slots 0 to max_entries - 1, which exist from the start */
	LBPF_PERCPU = 1 << 17,	/* one value for each possible CPU */
	LBPF_KEYLESS = 1 << 18,
	LBPF_VALUELESS = 1 << 19,
	LBPF_NO_BTF = 1 << 20,	/* the kernel refuses BTF at creation */
	LBPF_HANDLES = 1 << 21, /* of descriptors, which must stay open until the call: no batches of updates */
	LBPF_STORAGE = 1 << 22, /* keys are processes, files, sockets, cgroups; there is no max_entries */
};

struct lbpf_mapkind {
	const char *name; /* the kernel's, in lower case without BPF_MAP_TYPE_ */
	uint32_t type;
	uint32_t can;		       /* of the bits above */
	uint32_t flags;		       /* creation flags without which the kernel refuses it */
	const struct lbpf_conv *key;   /* NULL: the codec */
	const struct lbpf_conv *value; /* NULL: the codec */
	const char *key_type;	       /* C, for map.create where the script says nothing; NULL: it has to */
	const char *value_type;
};

/* The row of a kernel map type; of one we don't know, a row of raw bytes. */
const struct lbpf_mapkind *lbpf_mapkind_of(uint32_t type);

/* Whether maps of a kind are memory and nothing else. */
static inline bool lbpf_mapkind_is_arena(const struct lbpf_mapkind *kind)
{
	return kind->can & LBPF_VIEW && kind->can & LBPF_VALUELESS;
}

/* For maps whose keys or values have no size: no entries that user space could name. */
extern const struct lbpf_mapkind lbpf_mapkind_opaque;

/* The row of a name; raises for an unknown one, naming all. */
const struct lbpf_mapkind *lbpf_mapkind_named(lua_State *L, const char *name);

/* A creation flag of ring buffers, since 6.19: new records overwrite old ones that nobody has read. */
#define LBPF_RB_OVERWRITE (1u << 19)

/* Creation flags by name: the kernel's in lower case without BPF_F_. */
extern const struct lbpf_name lbpf_map_flags[];

/* How many CPUs this kernel may ever have, or a negative errno; libbpf reads it once. */
int lbpf_possible_cpus(lua_State *L);

/* Pushes nil, "<what>: number of possible CPUs: <cause>", code for that errno and returns 3. */
int lbpf_possible_cpus_fail(lua_State *L, int err, const char *what);

LBPF_HIDDEN_END

#endif
