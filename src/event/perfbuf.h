/* SPDX-License-Identifier: MIT */
/* Readers of perf buffers. */
#ifndef LBPF_EVENT_PERFBUF_H
#define LBPF_EVENT_PERFBUF_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: adds `perfbuf` to the module table at the top. */
LBPF_OPENER lbpf_perfbuf_open(lua_State *L);

/* Opener of what no API has, when `posix` is there. */
LBPF_OPENER lbpf_perfbuf_posix(lua_State *L);

LBPF_HIDDEN_END

#endif
