/* SPDX-License-Identifier: MIT */
/* Maps that are pinned by name: whether what is pinned there is the map that the object declares. No Lua here. */
#ifndef LBPF_OBJECT_PINNED_H
#define LBPF_OBJECT_PINNED_H

#include <limits.h>
#include <stdbool.h>

#include <bpf/libbpf.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

struct lbpf_pinned {
	bool any_type; /* take a map whose keys or values have the right size and another type */
	/* for which pinned ones are used, with the paths that they have again in the end */
	struct lbpf_pinned_map {
		struct lbpf_pinned_map *next;
		struct bpf_map *map;
		char path[];
	} * maps;
	char cause[1024]; /* of a failure, in words; "" leaves it to the errno */
};

/* Has the object use the maps that are pinned at its maps' paths, as bpf_object__load would. Returns 0 or an errno.
 * Until lbpf_pinned_end, which is called in any case, those maps have no path: libbpf doesn't look there again. */
int lbpf_pinned_begin(struct lbpf_pinned *pinned, struct bpf_object *obj);
void lbpf_pinned_end(struct lbpf_pinned *pinned);

LBPF_HIDDEN_END

#endif
