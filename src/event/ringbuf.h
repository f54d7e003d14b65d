/* SPDX-License-Identifier: MIT */
/* Readers of ring buffers. */
#ifndef LBPF_EVENT_RINGBUF_H
#define LBPF_EVENT_RINGBUF_H

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Opener: adds `ringbuf` to the module table at the top. */
LBPF_OPENER lbpf_ringbuf_open(lua_State *L);

LBPF_HIDDEN_END

#endif
