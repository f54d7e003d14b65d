/* SPDX-License-Identifier: MIT */
/* Why the kernel refused to create a map, in words. The kernel returns only an errno, whichever parameter is wrong. */
#ifndef LBPF_MAP_CAUSE_H
#define LBPF_MAP_CAUSE_H

#include <stdbool.h>
#include <stdint.h>

#include <lua.h>

#include "base/compat.h"
#include "map/kinds.h"

LBPF_HIDDEN_BEGIN

/* The parameters that the kernel got. */
struct lbpf_mapcause {
	const struct lbpf_mapkind *kind, *inner; /* `inner`: the kind of the inner maps, or NULL */
	const char *name;
	uint32_t key_size, value_size, max_entries, flags, numa_node, ifindex;
	uint64_t extra;
	bool typed; /* key and value have BTF */
	bool owned; /* some members of the value belong to the kernel */
};

/* Pushes which parameter the errno must be about, and what it has to be. Returns NULL if that can't be known. */
const char *lbpf_mapcause_push(lua_State *L, const struct lbpf_mapcause *map, int err);

/* The capabilities that creating the map needs. */
const char *lbpf_mapcause_needs(const struct lbpf_mapcause *map);

LBPF_HIDDEN_END

#endif
