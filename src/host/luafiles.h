/* SPDX-License-Identifier: MIT */
/* The Lua modules that are part of liblbpf.a. build-aux/luafiles.lua writes them as C. */
#ifndef LBPF_HOST_LUAFILES_H
#define LBPF_HOST_LUAFILES_H

#include <stddef.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

struct lbpf_luafile {
	const char *module;	   /* "bpf.hist"; NULL after the last */
	const char *chunk;	   /* its name in error messages */
	const unsigned char *text; /* size bytes */
	size_t size;
};

/* Weak: bpf/core.so has no such modules; Lua finds them by package.path. */
extern const struct lbpf_luafile lbpf_luafiles[] __attribute__((weak));

LBPF_HIDDEN_END

#endif
