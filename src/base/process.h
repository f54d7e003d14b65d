/* SPDX-License-Identifier: MIT */
/* Which process this is, when a fork may have made two of one.
 *
 * What an object undoes by itself belongs to the process that made the object, and some of the kernel's mappings are
 * not passed on to a child. So objects remember the number of their process, and compare it where that matters. */
#ifndef LBPF_BASE_PROCESS_H
#define LBPF_BASE_PROCESS_H

#include <stdatomic.h>
#include <stdint.h>

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Where the number is; 0 in a child that has not asked for its own yet. */
extern _Atomic uint32_t *lbpf_process_place;

uint32_t lbpf_process_renew(void);

/* This process's number, which none of the processes has that it descends from. Costs two loads: getpid(2) is a system
 * call. */
static inline uint32_t lbpf_process_number(void)
{
	uint32_t number = atomic_load_explicit(lbpf_process_place, memory_order_acquire);

	return lbpf_likely(number != 0) ? number : lbpf_process_renew();
}

/* Opener, before any that makes an object. */
void lbpf_process_open(lua_State *L);

LBPF_HIDDEN_END

#endif
