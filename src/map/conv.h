/* SPDX-License-Identifier: MIT */
/* Conversions: how keys and values travel that the codec alone can't carry. Rows of mapkinds name them. */
#ifndef LBPF_MAP_CONV_H
#define LBPF_MAP_CONV_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

struct lbpf_map;

struct lbpf_conv {
	/* Writes what the Lua value at idx, an absolute index, means into the zeroed bytes at buf. Raises for what
	 * can't be meant; returns an errno where the world refuses: a path that isn't there, a process that has gone;
	 * then the reason in words is at the top of the stack. May leave values there, to be closed, which buf relies
	 * on until the call is made. */
	int (*encode)(lua_State *L, const struct lbpf_map *map, int idx, void *buf);
	/* Pushes one value; into is 0, or the index of a table to fill. NULL for what can't be read back. */
	void (*decode)(lua_State *L, const struct lbpf_map *map, const void *buf, int into);
	/* The same for calls that return failures, where decode may raise: an errno, with the reason in words or nil
	 * at the top of the stack. NULL where nothing can fail. */
	int (*fetch)(lua_State *L, const struct lbpf_map *map, const void *buf);
};

extern const struct lbpf_conv lbpf_conv_percpu;	    /* percpu.c: a sequence of values, or one for all */
extern const struct lbpf_conv lbpf_conv_prefix;	    /* prefix.c: "10.0.0.0/8" */
extern const struct lbpf_conv lbpf_conv_program;    /* redirect.c: programs to jump to */
extern const struct lbpf_conv lbpf_conv_device;	    /* interfaces, with a program or without */
extern const struct lbpf_conv lbpf_conv_cpu;	    /* queues of CPUs, likewise */
extern const struct lbpf_conv lbpf_conv_inner;	    /* innermap.c: maps */
extern const struct lbpf_conv lbpf_conv_stack;	    /* stacktrace.c: sequences of addresses */
extern const struct lbpf_conv lbpf_conv_descriptor; /* descriptor.c: anything with a file descriptor */
extern const struct lbpf_conv lbpf_conv_socket;	    /* the same, which reads back as a cookie */
extern const struct lbpf_conv lbpf_conv_path;	    /* a descriptor or the path of a file, directory or cgroup */
extern const struct lbpf_conv lbpf_conv_process;    /* the number of a process */

LBPF_HIDDEN_END

#endif
