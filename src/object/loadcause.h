/* SPDX-License-Identifier: MIT */
/* Which program or map the kernel refused when a load failed, and why. */
#ifndef LBPF_OBJECT_LOADCAUSE_H
#define LBPF_OBJECT_LOADCAUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lua.h>

#include "base/compat.h"
#include "map/cause.h"
#include "object/object.h"

LBPF_HIDDEN_BEGIN

/* Copies of what is needed, because a finalizer may close the object while the message is made. */
struct lbpf_loadcause {
	struct {
		char name[256]; /* "" if no program was refused */
		char kind[256];
		uint32_t type;
		/* where libbpf's messages about the program begin; logs before that are of programs that the verifier
		 * accepted */
		size_t at;
	} prog;
	struct {
		char name[64]; /* "" if no map was refused */
		bool is_inner; /* the template of the map's inner maps was refused */
		struct lbpf_mapcause given;
	} map;
	bool by_token; /* the object was loaded with a BPF token */
	int err;
};

/* Finds the cause from the text that libbpf has printed since the load of the object at idx began, and from the
 * errno. */
void lbpf_loadcause_find(lua_State *L, int idx, const struct lbpf_object *o, const char *text, int err,
			 struct lbpf_loadcause *found);

/* Pushes the cause in words, or returns NULL if the errno, found->err, says enough. */
const char *lbpf_loadcause_push(lua_State *L, const struct lbpf_loadcause *found, const char *text);

LBPF_HIDDEN_END

#endif
