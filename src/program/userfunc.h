/* SPDX-License-Identifier: MIT */
/* Functions of programs and libraries that uprobes are put on: finding the file, and where in it a function begins. */
#ifndef LBPF_PROGRAM_USERFUNC_H
#define LBPF_PROGRAM_USERFUNC_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include <lua.h>

#include "base/compat.h"
#include "btf/elfsym.h"

LBPF_HIDDEN_BEGIN

/* The path of a file. A name without a slash is searched for in the places where libbpf looks: a program in $PATH, or a
 * library. Returns the name itself if nothing is found; libbpf will refuse it. */
const char *lbpf_userfunc_path(char room[PATH_MAX], const char *path);

/* Finds functions in the file, and checks places. Returns 0 if all were found, otherwise an errno. Returns -1 if only
 * libbpf can tell: for files of 32 bits, files within archives, and places in files that aren't ELF. */
int lbpf_userfunc_find(const char *path, struct lbpf_elfsym *list, size_t count);

/* Pushes why lbpf_userfunc_find returned an errno. */
const char *lbpf_userfunc_cause(lua_State *L, const char *path, const struct lbpf_elfsym *list, size_t count, int err);

/* Pushes why the file has no such USDT probe, or returns NULL if the reason isn't known. */
const char *lbpf_userfunc_no_probe(lua_State *L, const char *path, const char *provider, const char *name);

LBPF_HIDDEN_END

#endif
