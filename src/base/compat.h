/* SPDX-License-Identifier: MIT */
/* What differs between the Lua, libc and libbpf versions we support. */
#ifndef LBPF_BASE_COMPAT_H
#define LBPF_BASE_COMPAT_H

#include <lua.h>

#if LUA_VERSION_NUM < 504
#error "lua-bpf needs Lua 5.4 or newer"
#endif

/* The kernel's own errno that leaks to user space; libc has neither name nor text for it. */
#ifndef ENOTSUPP
#define ENOTSUPP 524
#endif

/* Internal prototypes stand between these two, because a builder that passes no -fvisibility (luarocks)
 * must hide them as well. */
#define LBPF_HIDDEN_BEGIN _Pragma("GCC visibility push(hidden)")
#define LBPF_HIDDEN_END _Pragma("GCC visibility pop")

#define lbpf_likely(x) __builtin_expect(!!(x), 1)
#define lbpf_unlikely(x) __builtin_expect(!!(x), 0)

/* Larger temporaries than this live in Lua's heap, so that an error frees them. */
#define LBPF_SMALL 256

#endif
