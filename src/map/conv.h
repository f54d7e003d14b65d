/* SPDX-License-Identifier: MIT */
/* Conversions of keys and values that the codec alone can't convert, for example a path that becomes a descriptor. Rows
 * of the table in kinds.c name them. */
#ifndef LBPF_MAP_CONV_H
#define LBPF_MAP_CONV_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

struct lbpf_map;

struct lbpf_conv {
	/* Converts the Lua value at idx, an absolute index, to bytes at buf, which are zero before.
	 *
	 * Raises for a value of a wrong type or range. Returns an errno if the value is valid but the system refuses
	 * it, for example a path that doesn't exist or a process that has ended; then the reason in words is at the top
	 * of the stack.
	 *
	 * May leave to-be-closed values on the stack, such as the owner of a descriptor. The bytes are valid until
	 * these are closed, so the caller closes them after the system call. */
	int (*encode)(lua_State *L, const struct lbpf_map *map, int idx, void *buf);
	/* Pushes the Lua value for the bytes at buf. `into` is the index of a table to fill, or 0. NULL if values can't
	 * be read back. */
	void (*decode)(lua_State *L, const struct lbpf_map *map, const void *buf, int into);
	/* Like decode, for callers that return failures instead of raising: returns an errno, with the reason in words
	 * or nil at the top of the stack. NULL if decode can't fail. */
	int (*fetch)(lua_State *L, const struct lbpf_map *map, const void *buf);
};

extern const struct lbpf_conv lbpf_conv_percpu;	    /* percpu.c: a sequence of values, or one value for all CPUs */
extern const struct lbpf_conv lbpf_conv_prefix;	    /* prefix.c: an address prefix, "10.0.0.0/8" */
extern const struct lbpf_conv lbpf_conv_program;    /* redirect.c: a program, to be called by tail calls */
extern const struct lbpf_conv lbpf_conv_device;	    /* redirect.c: an interface, with or without a program */
extern const struct lbpf_conv lbpf_conv_cpu;	    /* redirect.c: the queue of a CPU, with or without a program */
extern const struct lbpf_conv lbpf_conv_inner;	    /* innermap.c: a map */
extern const struct lbpf_conv lbpf_conv_stack;	    /* stacktrace.c: a sequence of addresses */
extern const struct lbpf_conv lbpf_conv_descriptor; /* descriptor.c: anything that has a file descriptor */
extern const struct lbpf_conv lbpf_conv_socket;	    /* descriptor.c: a socket; reading gives its cookie */
extern const struct lbpf_conv lbpf_conv_path;	 /* descriptor.c: a file, directory or cgroup, by descriptor or path */
extern const struct lbpf_conv lbpf_conv_process; /* descriptor.c: a process, by its id */

LBPF_HIDDEN_END

#endif
