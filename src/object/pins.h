/* SPDX-License-Identifier: MIT */
/* The pins of an object, each under its map's or program's name in one folder. */
#ifndef LBPF_OBJECT_PINS_H
#define LBPF_OBJECT_PINS_H

#include <limits.h>

#include <bpf/libbpf.h>
#include <lua.h>

#include "base/compat.h"
#include "object/pinned.h"

LBPF_HIDDEN_BEGIN

struct lbpf_pins_failure {
	char path[PATH_MAX];
	const char *cause; /* in words, or NULL: what the errno means */
};

/* Pins all maps and programs of a loaded object, and makes the folder if need be. Returns 0, or an errno and all is as
 * it was. */
int lbpf_pins_make(const struct bpf_object *obj, const char *dir, struct lbpf_pins_failure *failure);

/* Removes all of them that are there. Returns an errno, of the first that couldn't be removed. */
int lbpf_pins_remove(const struct bpf_object *obj, const char *dir, struct lbpf_pins_failure *failure);

/* bpf_object__load: its result, or what pinned.h says about the maps that are pinned already. Removes the folder that
 * libbpf made for maps that are pinned by name, when it fails. */
int lbpf_pins_load(struct bpf_object *obj, struct lbpf_pinned *pinned);

/* Opener: adds `pin` and `unpin` to the objects' methods. */
void lbpf_pins_open(lua_State *L);

LBPF_HIDDEN_END

#endif
