/* SPDX-License-Identifier: MIT */
/* What is attached to interfaces, network namespaces, cgroups and maps of sockets, with or without a link. */
#ifndef LBPF_SYSTEM_ATTACHED_H
#define LBPF_SYSTEM_ATTACHED_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: adds the table `attached`, which lua/bpf/attached.lua uses, to the field `posix` of the module table at the
 * top. */
LBPF_OPENER lbpf_attached_open(lua_State *L);

LBPF_HIDDEN_END

#endif
