/* SPDX-License-Identifier: MIT */
/* BTF in files: those of BTF alone, and the section .BTF of ELF files. */
#ifndef LBPF_BTF_FILE_H
#define LBPF_BTF_FILE_H

#include <lua.h>

#include <bpf/btf.h>

#include "base/compat.h"
#include "btf/btf.h"

LBPF_HIDDEN_BEGIN

/* Reads a file, checks it, and makes BTF from it in the handle, with a base or NULL. Returns 0, or an errno and its
 * cause in words or NULL. */
int lbpf_btffile_parse(lua_State *L, const char *path, struct btf *base, struct lbpf_btf *handle, const char **cause);

/* Checks that libbpf can be given a file to read BTF from. A file that doesn't exist or has no BTF passes: libbpf
 * reports that when it needs the file. Returns 0, or an errno and its cause in words or NULL. */
int lbpf_btffile_check(const char *path, const char **cause);

LBPF_HIDDEN_END

#endif
