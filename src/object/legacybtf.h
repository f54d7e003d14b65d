/* SPDX-License-Identifier: MIT */
/* BTF for maps that were declared without: what libbpf 1.0 and newer read a map's attributes from. No Lua here. */
#ifndef LBPF_OBJECT_LEGACYBTF_H
#define LBPF_OBJECT_LEGACYBTF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* One map, as an old definition says. */
struct lbpf_mapdef {
	const char *name;
	uint32_t type, key_size, value_size, max_entries, flags, numa_node;
	bool pinned;			 /* by name */
	const struct lbpf_mapdef *inner; /* the template of a map's maps */
	uint32_t slots;			 /* how many of its maps are named in the object: the last one's index + 1 */
	/* set by lbpf_legacybtf_make: the place in section .maps, and where in it the slots begin */
	uint32_t offset, size, values;
};

struct lbpf_legacybtf {
	const void *old; /* .BTF of the object */
	size_t old_size; /* 0: it has none */
	uint32_t taken;	 /* bytes of .maps that other maps have already */
	/* The place in .maps of a variable that is there already; false if there is none of this name. */
	bool (*place)(void *ctx, const char *name, uint32_t *offset);
	/* Whether a section holds old definitions. */
	bool (*is_legacy)(const char *section);
	void *ctx;
	/* results: the whole new .BTF, of malloc, and the size of .maps */
	void *made;
	uint32_t made_size, maps_size;
};

/* Adds types for n maps to BTF. Ids and strings that were there stay what they are. Returns NULL, or what is wrong;
 * *code is an errno then. */
const char *lbpf_legacybtf_make(struct lbpf_legacybtf *b, struct lbpf_mapdef *maps, size_t n, int *code);

LBPF_HIDDEN_END

#endif
