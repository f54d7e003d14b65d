/* SPDX-License-Identifier: MIT */
/* Which process this is: a fork copies all objects to the child.
 *
 * What an object undoes by itself belongs to the process that created the object, and the kernel doesn't pass some
 * mappings on to a child. So objects remember the number of their process and compare it where that matters. */
#ifndef LBPF_BASE_PROCESS_H
#define LBPF_BASE_PROCESS_H

#include <stdatomic.h>
#include <stdint.h>

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Where the number is stored. It is 0 in a child that hasn't asked for its number yet. */
extern _Atomic uint32_t *lbpf_process_place;

uint32_t lbpf_process_renew(void);

/* This process's number. No process that it descends from has the same. Two loads, where getpid(2) would be a system
 * call. */
static inline uint32_t lbpf_process_number(void)
{
	uint32_t number = atomic_load_explicit(lbpf_process_place, memory_order_acquire);

	return lbpf_likely(number != 0) ? number : lbpf_process_renew();
}

/* Opener. Must run before the openers that create objects. */
LBPF_OPENER lbpf_process_open(lua_State *L);

LBPF_HIDDEN_END

#endif
