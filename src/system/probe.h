/* SPDX-License-Identifier: MIT */
/* What this kernel supports for this process, found by trying. */
#ifndef LBPF_SYSTEM_PROBE_H
#define LBPF_SYSTEM_PROBE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

struct lbpf_verdict {
	enum { LBPF_NO, LBPF_YES, LBPF_UNSURE } has;
	int err;	   /* unless YES */
	const char *cause; /* a string literal, if it is known already */
};

/* Missing capabilities and lockdown cause EPERM, a security module may cause EACCES. */
static inline bool lbpf_probe_is_refusal(int err)
{
	return err == EPERM || err == EACCES;
}

/* Whether a map of this type can be created, or a program of this type loaded. The last argument is not used. */
struct lbpf_verdict lbpf_probe_map(lua_State *L, uint32_t type, uint32_t unused);
struct lbpf_verdict lbpf_probe_prog(lua_State *L, uint32_t type, uint32_t unused);

/* Whether programs of a type may call a helper. */
struct lbpf_verdict lbpf_probe_helper(lua_State *L, uint32_t id, uint32_t type);

LBPF_HIDDEN_END

#endif
