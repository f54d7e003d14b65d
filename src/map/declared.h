/* SPDX-License-Identifier: MIT */
/* What an object's BTF says of its maps. */
#ifndef LBPF_MAP_DECLARED_H
#define LBPF_MAP_DECLARED_H

#include <stdint.h>

#include <bpf/libbpf.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Ids in the object's BTF; 0: there is no such type. */
struct lbpf_declared {
	uint32_t key, value; /* the value of a map that holds variables is their section */
};

/* The name under which the object declares one of its maps. bpf_map__name is another one's where libbpf uses a map that
 * exists: it takes over that map's name. Valid while the object is open. */
const char *lbpf_declared_name(const struct bpf_object *obj, const struct bpf_map *map);

/* The types of one of the object's maps, which is declared under this name, whether or not it is loaded. */
struct lbpf_declared lbpf_declared_types(const struct bpf_map *map, const char *name, const struct btf *btf);

LBPF_HIDDEN_END

#endif
