/* SPDX-License-Identifier: MIT */
/* Compiled BPF objects: their contents, attaching, closing. */
#ifndef LBPF_OBJECT_H
#define LBPF_OBJECT_H

#include <stdbool.h>
#include <stdint.h>

#include <bpf/libbpf.h>

#include "base/class.h"
#include "base/compat.h"
#include "program/link.h"

LBPF_HIDDEN_BEGIN

struct lbpf_vars;

struct lbpf_object {
	struct lbpf_head head;
	struct bpf_object *obj; /* NULL: closed */
	bool borrowed;		/* it belongs to a host, so libbpf's object isn't closed */
	bool loaded;
	bool pin_any_type;	/* option of bpf.open */
	uint32_t process;	/* the number of the process in which it was loaded; 0: not loaded */
	struct lbpf_vars *vars; /* kept by a user value */
	char name[80];		/* its name in messages */
};

extern const struct lbpf_class lbpf_object_class;

/* User values. Scripts get the tables of maps and programs and may change them. The lists are not shown to scripts. */
enum {
	LBPF_OBJECT_LINKS = LBPF_OWNER_LINKS,
	LBPF_OBJECT_MAPS,
	LBPF_OBJECT_PROGS,
	LBPF_OBJECT_VARS,
	LBPF_OBJECT_MAP_LIST,
	LBPF_OBJECT_PROG_LIST,
	LBPF_OBJECT_BTF,      /* the BTF handle that a script got last */
	LBPF_OBJECT_CORE_BTF, /* the path of option `btf` */
	LBPF_OBJECT_TOKEN,    /* the path of the bpffs from which libbpf gets a token */
	LBPF_OBJECT_SLOTS = LBPF_OBJECT_TOKEN
};

/* Returns the open object at index 1; raises otherwise. */
struct lbpf_object *lbpf_object_check(lua_State *L);

/* Push a closed handle; and create the handles of the maps, programs and variables, once it has libbpf's object. */
struct lbpf_object *lbpf_object_new(lua_State *L);
void lbpf_object_fill(lua_State *L, int idx, struct lbpf_object *o);

/* Calls fn for each userdata in a list of the object at idx. `flag` is passed on to fn, which may set it. */
void lbpf_object_each(lua_State *L, int idx, int list, void (*fn)(void *self, bool *flag), bool *flag);

/* The class's release. */
void lbpf_object_release(lua_State *L, int idx, void *self);

/* Opener. */
LBPF_OPENER lbpf_object_open(lua_State *L);

LBPF_HIDDEN_END

#endif
