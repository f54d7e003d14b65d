/* SPDX-License-Identifier: MIT */
/* The names and types that an object's BTF declares for its maps. */
#ifndef LBPF_MAP_DECLARED_H
#define LBPF_MAP_DECLARED_H

#include <stdint.h>

#include <bpf/libbpf.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Ids of types in the object's BTF; 0 if there is no such type. */
struct lbpf_declared {
	uint32_t key, value; /* for a map that holds variables, the value is their section */
};

/* The name under which the object declares a map. bpf_map__name may differ: if libbpf uses an existing map, it takes
 * over that map's name. Valid while the object is open. */
const char *lbpf_declared_name(const struct bpf_object *obj, const struct bpf_map *map);

/* The types of a map that the object declares under this name, whether or not it is loaded. */
struct lbpf_declared lbpf_declared_types(const struct bpf_map *map, const char *name, const struct btf *btf);

LBPF_HIDDEN_END

#endif
