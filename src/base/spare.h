/* SPDX-License-Identifier: MIT */
/* Descriptors for what is about to open some. */
#ifndef LBPF_BASE_SPARE_H
#define LBPF_BASE_SPARE_H

#include <stdbool.h>

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Whether so many descriptors can be opened: 0 or an errno. If not, collects what holds some and looks once more; so
 * any handle may be closed afterwards. In a finalizer, and while the collector is stopped, nothing is collected. */
int lbpf_spare(lua_State *L, unsigned int count);

/* Whether to try once more what has just failed, by errno, which it leaves alone: there were no descriptors, and so
 * many have been collected. For what is done so often that looking beforehand would cost. */
bool lbpf_spare_again(lua_State *L, unsigned int count);

/* Opens what there is, if that is fewer than so many, and returns how many to give back; 0 if there are enough. What
 * mustn't do half of its work then fails at once. */
unsigned int lbpf_spare_take_rest(int *fds, unsigned int count);
void lbpf_spare_give(const int *fds, unsigned int count);

/* Whether the process or the machine is short of something, so that an answer says nothing about the kernel. */
bool lbpf_spare_is_short(int err);

LBPF_HIDDEN_END

#endif
