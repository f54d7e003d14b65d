/* SPDX-License-Identifier: MIT */
/* Compiled BPF objects: open, configure, load, attach, close. */
#ifndef LBPF_OBJECT_H
#define LBPF_OBJECT_H

#include <stdbool.h>
#include <stdint.h>

#include <bpf/libbpf.h>

#include "class.h"
#include "compat.h"

LBPF_HIDDEN_BEGIN

struct lbpf_vars;

struct lbpf_object {
	struct lbpf_head head;
	struct bpf_object *obj; /* NULL: closed */
	bool borrowed;		/* it is a host's, and not closed */
	bool loaded;
	uint32_t process;	/* the number of the one in which it was loaded; 0: in none */
	struct lbpf_vars *vars; /* kept by a user value */
	char name[64];
};

extern const struct lbpf_class lbpf_object_class;

/* Pushes the handle of a host's object, which stays the host's. Returns 0 or an errno; the handle is then closed, as it
 * is when this raises. */
int lbpf_object_push_borrowed(lua_State *L, struct bpf_object *obj);

/* Opener: adds `open` and `load` to the module table at the top. */
void lbpf_object_open(lua_State *L);

LBPF_HIDDEN_END

#endif
