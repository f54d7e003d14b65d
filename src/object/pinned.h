/* SPDX-License-Identifier: MIT */
/* Maps that are pinned by name: whether the pinned map is the one that the object declares. Doesn't use Lua. */
#ifndef LBPF_OBJECT_PINNED_H
#define LBPF_OBJECT_PINNED_H

#include <limits.h>
#include <stdbool.h>

#include <bpf/libbpf.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

struct lbpf_pinned {
	bool any_type; /* accept a map whose keys or values have the right size but another type */
	/* the object's maps for which pinned maps are used, with the paths that lbpf_pinned_end restores */
	struct lbpf_pinned_map {
		struct lbpf_pinned_map *next;
		struct bpf_map *map;
		char path[];
	} * maps;
	char cause[1024]; /* the cause of a failure in words; "" if the errno says enough */
};

/* Makes the object use the maps that are pinned at its maps' paths, as bpf_object__load would. Returns 0 or an errno.
 * Until lbpf_pinned_end, which must be called in any case, these maps have no path, so that libbpf doesn't look there
 * again. */
int lbpf_pinned_begin(struct lbpf_pinned *pinned, struct bpf_object *obj);
void lbpf_pinned_end(struct lbpf_pinned *pinned);

LBPF_HIDDEN_END

#endif
