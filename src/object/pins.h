/* SPDX-License-Identifier: MIT */
/* The pins of an object: its maps and programs, each under its name in one folder. */
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
	const char *cause; /* in words; NULL: what the errno means */
};

/* Pins all maps and programs of a loaded object, and creates the folder if it doesn't exist. Returns 0; or an errno,
 * and nothing has changed. */
int lbpf_pins_make(const struct bpf_object *obj, const char *dir, struct lbpf_pins_failure *failure);

/* Removes all pins that exist. Returns 0, or the errno of the first that could not be removed. */
int lbpf_pins_remove(const struct bpf_object *obj, const char *dir, struct lbpf_pins_failure *failure);

/* Calls bpf_object__load. Returns its result, or what lbpf_pinned_begin returns about maps that are pinned already. If
 * it fails, removes the folder that libbpf created for maps that are pinned by name. */
int lbpf_pins_load(struct bpf_object *obj, struct lbpf_pinned *pinned);

/* Opener: adds `pin` and `unpin` to the objects' methods. */
LBPF_OPENER lbpf_pins_open(lua_State *L);

LBPF_HIDDEN_END

#endif
