/* SPDX-License-Identifier: MIT */
/* Public header of lua-bpf: its version and how a C host opens it. */
#ifndef LBPF_H
#define LBPF_H

#include <lua.h>

/* The one place that holds the version. */
#define LBPF_VERSION "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif

#define LBPF_API __attribute__((visibility("default")))

/* `require "bpf.core"`: pushes the module table of the C core. Opens no file. */
LBPF_API int luaopen_bpf_core(lua_State *L);

#ifdef __cplusplus
}
#endif

#endif
