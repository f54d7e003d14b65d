/* SPDX-License-Identifier: MIT */
/* Functions of programs and libraries that probes are put on: which file is meant, and where in it the function begins.
 */
#ifndef LBPF_PROGRAM_USERFUNC_H
#define LBPF_PROGRAM_USERFUNC_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include <lua.h>

#include "base/compat.h"
#include "btf/elfsym.h"

LBPF_HIDDEN_BEGIN

/* Where a file is: path, or for the name of a program in $PATH or of a library, the first one of those that libbpf
 * looks for. Returns path where it is none of them, for libbpf to refuse. */
const char *lbpf_userfunc_path(char room[PATH_MAX], const char *path);

/* Finds functions and places of the file. Returns 0 if all were found, an errno if not, or -1 where only libbpf can
 * tell: of files of 32 bits and within archives, and for places in what is no ELF file. */
int lbpf_userfunc_find(const char *path, struct lbpf_elfsym *list, size_t count);

/* Pushes why lbpf_userfunc_find returned an errno. */
const char *lbpf_userfunc_cause(lua_State *L, const char *path, const struct lbpf_elfsym *list, size_t count, int err);

/* Pushes why the file has no such mark for tracers (USDT), or NULL where that isn't known. */
const char *lbpf_userfunc_no_mark(lua_State *L, const char *path, const char *provider, const char *name);

LBPF_HIDDEN_END

#endif
