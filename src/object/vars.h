/* SPDX-License-Identifier: MIT */
/* Memory shared with the kernel: an object's global variables. */
#ifndef LBPF_OBJECT_VARS_H
#define LBPF_OBJECT_VARS_H

#include <stdbool.h>
#include <stdint.h>

#include <bpf/libbpf.h>

#include "base/class.h"
#include "base/compat.h"

LBPF_HIDDEN_BEGIN

struct lbpf_vars;

/* Pushes the global variables of the object whose handle is at stack index owner. */
struct lbpf_vars *lbpf_vars_push(lua_State *L, int owner, struct bpf_object *obj);

/* Adopts the new size that libbpf has given to a section of the object before the load, and the type of the section's
 * last variable, an array that libbpf extends. The variables are at idx. No finalizer runs during the call. */
void lbpf_vars_resized(lua_State *L, int idx, const struct bpf_object *obj, const struct bpf_map *map);

/* Called once the object is loaded: maps the sections into memory. Returns 0 or an errno. */
int lbpf_vars_loaded(struct lbpf_vars *vars);

/* Called before the object is freed: unmaps the sections. Its variables can't be used from then on. */
void lbpf_vars_orphan(struct lbpf_vars *vars);

struct lbpf_type;

/* Whether the value at idx is the variables of an object. */
bool lbpf_vars_test(lua_State *L, int idx);

/* The memory of the variable that the value at stack index `name` names, of the variables at idx. Raises if there is no
 * such variable, if it can't be written, or if its section can't be mapped into memory. */
uint8_t *lbpf_vars_memory(lua_State *L, int idx, int name, const struct lbpf_type **type);

/* Opener: registers the class. */
LBPF_OPENER lbpf_vars_open(lua_State *L);

LBPF_HIDDEN_END

#endif
