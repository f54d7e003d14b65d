/* SPDX-License-Identifier: MIT */
/* Projections of a struct: types that consist of some of its members, at their places. */
#ifndef LBPF_VALUE_PROJECT_H
#define LBPF_VALUE_PROJECT_H

#include <stdint.h>

#include "value/plan.h"

LBPF_HIDDEN_BEGIN

/* Pushes the type of the member that the string at idx names by its path, "addr.port". *at becomes its offset in the
 * struct. Raises an error that names the argument if there is no such member. */
struct lbpf_type *lbpf_project_member(lua_State *L, const struct lbpf_type *type, int idx, uint32_t *at);

/* Pushes a struct of the same size, whose members are those that the strings from `first` to the top name. Each is
 * called by its path. */
struct lbpf_type *lbpf_project_members(lua_State *L, const struct lbpf_type *type, int first);

LBPF_HIDDEN_END

#endif
