/* SPDX-License-Identifier: MIT */
/* Type handles: what scripts can ask about a plan. */
#ifndef LBPF_VALUE_TYPE_H
#define LBPF_VALUE_TYPE_H

#include "value/plan.h"

LBPF_HIDDEN_BEGIN

/* Opener: registers the class. */
LBPF_OPENER lbpf_type_open(lua_State *L);

LBPF_HIDDEN_END

#endif
