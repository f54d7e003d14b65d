/* SPDX-License-Identifier: MIT */
/* One table: what each map type's keys, values and operations are. */
#ifndef LBPF_MAPKINDS_H
#define LBPF_MAPKINDS_H

#include <stdbool.h>
#include <stdint.h>

#include <lua.h>

#include "arg.h"
#include "compat.h"

LBPF_HIDDEN_BEGIN

struct lbpf_map;

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

	/* and how its elements are */
	LBPF_INDEXED = 1 << 8, /* keys are the slots 0 to max_entries - 1, which exist from the start */
	LBPF_PERCPU = 1 << 9,  /* one value for each possible CPU */
	LBPF_KEYLESS = 1 << 10,
	LBPF_NO_BTF = 1 << 11, /* the kernel refuses BTF at creation */
};

/* How a key or value travels when the codec alone won't do. */
struct lbpf_conv {
	void (*encode)(lua_State *L, const struct lbpf_map *map, int idx, void *buf);
	void (*decode)(lua_State *L, const struct lbpf_map *map, const void *buf, int into); /* 0, or a table to fill */
};

struct lbpf_mapkind {
	const char *name; /* the kernel's, in lower case without BPF_MAP_TYPE_ */
	uint32_t type;
	uint32_t can;		       /* of the bits above */
	uint32_t flags;		       /* creation flags without which the kernel refuses it */
	const struct lbpf_conv *key;   /* NULL: the codec */
	const struct lbpf_conv *value; /* NULL: the codec */
};

/* The row of a kernel map type; of one we don't know, a row of raw bytes. */
const struct lbpf_mapkind *lbpf_mapkind_of(uint32_t type);

/* For maps whose keys or values have no size: no entries that user space could name. */
extern const struct lbpf_mapkind lbpf_mapkind_opaque;

/* The row of a name; raises for an unknown one, naming all. */
const struct lbpf_mapkind *lbpf_mapkind_named(lua_State *L, const char *name);

/* Creation flags by name: the kernel's in lower case without BPF_F_. */
extern const struct lbpf_name lbpf_map_flags[];

/* How many CPUs this kernel may ever have; raises if it doesn't tell. */
int lbpf_possible_cpus(lua_State *L);

LBPF_HIDDEN_END

#endif
