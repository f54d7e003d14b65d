/* SPDX-License-Identifier: MIT */
/* Signals that this process catches: which of them came, for whom, and the descriptors that wake whoever waits.
 *
 * A set is what one handle asked for. The state is its Lua state, by the main thread. A signal that several sets want
 * comes to each of them. */
#ifndef LBPF_BASE_CAUGHT_H
#define LBPF_BASE_CAUGHT_H

#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Sets that a process can have at a time. They have a fixed place, because the handler of a signal reads them. */
enum { LBPF_CAUGHT_MOST = 64 };

/* The bit of a signal in a set. All signals that can be caught have numbers below 32. */
#define LBPF_CAUGHT_BIT(number) (UINT32_C(1) << (number))

/* Opens a set and stores its number. Returns 0 or an errno: ENOSPC if there are too many sets. */
int lbpf_caught_open(const lua_State *state, uint32_t wanted, int *set);

/* The last set that wants a signal gives back what handled it before. */
void lbpf_caught_close(int set);

/* What the set wants, and the signals that came and were not yet taken. */
uint32_t lbpf_caught_wanted(int set);
uint32_t lbpf_caught_look(int set);

/* Takes these signals. Returns false if one of them was taken meanwhile. */
bool lbpf_caught_take(int set, uint32_t came);

/* A descriptor that is readable while there are signals to take; -1 with errno if a child process can't have one. */
int lbpf_caught_fd(int set);

/* Whether there may be signals to take in any set of the process. */
extern _Atomic bool lbpf_caught_any;

bool lbpf_caught_look_all(const lua_State *state);

/* Whether a signal came that the state has not yet taken, so that its waits end. One load if there is none. */
static inline bool lbpf_caught_ends(const lua_State *state)
{
	return lbpf_unlikely(atomic_load_explicit(&lbpf_caught_any, memory_order_relaxed)) &&
		lbpf_caught_look_all(state);
}

/* Lists the descriptors of all sets of the state, at most LBPF_CAUGHT_MOST. Returns how many. */
nfds_t lbpf_caught_list(const lua_State *state, struct pollfd *list);

/* Makes the descriptors of all sets of the state readable exactly if there are signals to take. */
void lbpf_caught_settle(const lua_State *state);

LBPF_HIDDEN_END

#endif
