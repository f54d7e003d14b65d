/* SPDX-License-Identifier: MIT */
/* Makes sure that descriptors are available before an operation that opens some. */
#ifndef LBPF_BASE_SPARE_H
#define LBPF_BASE_SPARE_H

#include <stdbool.h>

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Checks that so many descriptors can be opened. If not, runs a collection, which may close handles, and checks again.
 * Returns 0 or an errno. Any handle may be closed afterwards. In a finalizer, and while the collector is stopped,
 * nothing is collected. */
int lbpf_spare(lua_State *L, unsigned int count);

/* Whether to repeat a call that has just failed, by errno, which stays as it is: there were no descriptors, and a
 * collection has freed so many. For calls that are so frequent that a check beforehand would be too slow. */
bool lbpf_spare_again(lua_State *L, unsigned int count);

/* If fewer than so many descriptors are available, takes all of them and returns how many; lbpf_spare_give gives them
 * back. Returns 0 if there are enough. An operation that must not be done by half then fails at its beginning. */
unsigned int lbpf_spare_take_rest(int *fds, unsigned int count);
void lbpf_spare_give(const int *fds, unsigned int count);

/* Whether the errno means that the process or machine is short of something, so the answer says nothing about what the
 * kernel supports. */
bool lbpf_spare_is_short(int err);

LBPF_HIDDEN_END

#endif
