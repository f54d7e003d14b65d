/* SPDX-License-Identifier: MIT */
/* Differences between the versions of Lua, libc and libbpf that we support. */
#ifndef LBPF_BASE_COMPAT_H
#define LBPF_BASE_COMPAT_H

#include <lua.h>

#if LUA_VERSION_NUM < 504
#error "lua-bpf needs Lua 5.4 or newer"
#endif

/* An errno of the kernel that was not meant for user space, so libc has neither a name nor a text for it. */
#ifndef ENOTSUPP
#define ENOTSUPP 524
#endif

/* Internal prototypes stand between these two. They hide the functions even if the compiler gets no -fvisibility, as
 * from luarocks. */
#define LBPF_HIDDEN_BEGIN _Pragma("GCC visibility push(hidden)")
#define LBPF_HIDDEN_END _Pragma("GCC visibility pop")

/* Openers run once in a process. They stand together, so that a process that opens the module gets few pages of code.
 */
#define LBPF_AT_OPENING ".text.startup.lbpf"
#define LBPF_OPENER __attribute__((section(LBPF_AT_OPENING))) void

#define lbpf_likely(x) __builtin_expect(!!(x), 1)
#define lbpf_unlikely(x) __builtin_expect(!!(x), 0)

/* Temporaries of more bytes than this are allocated by Lua, so that an error frees them. */
#define LBPF_SMALL 256

#endif
