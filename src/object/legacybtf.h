/* SPDX-License-Identifier: MIT */
/* Makes BTF for maps with old definitions. libbpf 1.0 and newer read a map's attributes only from BTF. Doesn't use
 * Lua. */
#ifndef LBPF_OBJECT_LEGACYBTF_H
#define LBPF_OBJECT_LEGACYBTF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* One map of an old definition. */
struct lbpf_mapdef {
	const char *name;
	uint32_t type, key_size, value_size, max_entries, flags, numa_node;
	bool pinned;			 /* by its name */
	const struct lbpf_mapdef *inner; /* the template of the inner maps */
	uint32_t slots;			 /* how many slots the object fills: the last named map's index + 1 */
	/* Set by lbpf_legacybtf_make: the place in section .maps, and where in it the slots begin. */
	uint32_t offset, size, values;
};

struct lbpf_legacybtf {
	const void *old; /* the object's .BTF */
	size_t old_size; /* 0: the object has none */
	uint32_t taken;	 /* how many bytes of .maps other maps occupy already */
	/* Stores the place in .maps of a variable that exists already. Returns false if there is none of this name. */
	bool (*place)(void *ctx, const char *name, uint32_t *offset);
	/* Whether a section holds old definitions. */
	bool (*is_legacy)(const char *section);
	void *ctx;
	/* Results: the complete new .BTF, allocated by malloc, and the size of .maps. */
	void *made;
	uint32_t made_size, maps_size;
};

/* Adds types for n maps to the BTF. Existing ids and strings don't change. Returns NULL; or what is wrong, with an
 * errno in *code. */
const char *lbpf_legacybtf_make(struct lbpf_legacybtf *b, struct lbpf_mapdef *maps, size_t n, int *code);

LBPF_HIDDEN_END

#endif
