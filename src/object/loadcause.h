/* SPDX-License-Identifier: MIT */
/* What a load failed for: the program or the map that the kernel refused, and why. */
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

/* Copied: a finalizer may close the object while the message is made. */
struct lbpf_loadcause {
	struct {
		char name[256]; /* "" if it was no program */
		char kind[256];
		uint32_t type;
		size_t at; /* where libbpf's messages tell of it; logs before are of programs that the verifier took */
	} prog;
	struct {
		char name[64]; /* "" if it was no map */
		bool is_inner; /* what the maps in it are like */
		struct lbpf_mapcause given;
	} map;
	bool by_token; /* the object had a BPF token, whatever was refused */
	int err;
};

/* Finds it by what libbpf has printed since the load of the object at idx began, and the errno. */
void lbpf_loadcause_find(lua_State *L, int idx, const struct lbpf_object *o, const char *text, int err,
			 struct lbpf_loadcause *found);

/* Pushes the cause in words, or returns NULL where the errno, found->err, says it all. */
const char *lbpf_loadcause_push(lua_State *L, const struct lbpf_loadcause *found, const char *text);

LBPF_HIDDEN_END

#endif
