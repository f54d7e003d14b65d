/* SPDX-License-Identifier: MIT */
/* What a process has left attached to an interface: a tc filter, or an XDP program without a link. The next process of
 * the same tool finds its predecessor's by the program's name, and takes its place. */
#ifndef LBPF_PROGRAM_LEFTOVER_H
#define LBPF_PROGRAM_LEFTOVER_H

#include <stddef.h>
#include <stdint.h>

#include <lua.h>

#include "base/compat.h"
#include "program/attach.h"
#include "program/qdisc.h"

LBPF_HIDDEN_BEGIN

/* Reads option 'replace' of the table at 3: true, or the name of the program at 1. */
void lbpf_leftover_read(lua_State *L, const char *method, struct lbpf_target *to);

/* Looks for an XDP program of that name on the interface. Returns 0 or an errno; EBUSY if another program is in its
 * place. *fd is the program's descriptor, which the caller closes, or -1 if there is none. If *flags name no mode, they
 * get the mode of what is there. */
int lbpf_leftover_xdp(int ifindex, const char *name, uint32_t *flags, int *fd);

/* Filters of a program at an attach point of an interface. */
struct lbpf_leftovers {
	struct lbpf_filter filter[128];
	size_t count;
};

/* Finds the filters whose program has that name. A handle or priority other than 0 must be the filter's, too. Returns 0
 * or an errno; E2BIG if there are more filters than there is room for. */
int lbpf_leftover_tc(int ifindex, uint32_t parent, const struct lbpf_target *to, struct lbpf_leftovers *out);

/* Pushes what prevents that option 'replace' takes over an XDP program, or returns NULL. */
const char *lbpf_leftover_xdp_cause(lua_State *L, const struct lbpf_target *to, int err);

/* The same for the filter that has the handle and priority of `to`. */
const char *lbpf_leftover_tc_cause(lua_State *L, const struct lbpf_target *to, uint32_t parent);

LBPF_HIDDEN_END

#endif
