/* SPDX-License-Identifier: MIT */
/* Why the kernel refuses to create a map, in words. It answers with an errno alone, whichever parameter it means. */
#ifndef LBPF_MAP_CAUSE_H
#define LBPF_MAP_CAUSE_H

#include <stdbool.h>
#include <stdint.h>

#include <lua.h>

#include "base/compat.h"
#include "map/kinds.h"

LBPF_HIDDEN_BEGIN

/* What the kernel was given. */
struct lbpf_mapcause {
	const struct lbpf_mapkind *kind, *inner; /* of the inner maps; NULL without */
	const char *name;
	uint32_t key_size, value_size, max_entries, flags, numa_node, ifindex;
	uint64_t extra;
	bool typed; /* key and value have BTF */
	bool owned; /* members of the value belong to the kernel */
};

/* Pushes the parameter that the errno must be about, and what it has to be; or returns NULL where that can't be
 * known. */
const char *lbpf_mapcause_push(lua_State *L, const struct lbpf_mapcause *map, int err);

/* The capabilities that creating it takes. */
const char *lbpf_mapcause_needs(const struct lbpf_mapcause *map);

LBPF_HIDDEN_END

#endif
