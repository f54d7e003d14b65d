/* SPDX-License-Identifier: MIT */
/* Functions of an ELF file by name: where in the file they begin. Nothing in the file is believed. No Lua here. */
#ifndef LBPF_BTF_ELFSYM_H
#define LBPF_BTF_ELFSYM_H

#include <stdint.h>

#include "base/compat.h"
#include "btf/elf.h"

LBPF_HIDDEN_BEGIN

enum lbpf_elfsym_found {
	LBPF_ELFSYM_UNSEEN, /* the file could not be read */
	LBPF_ELFSYM_FOUND,
	LBPF_ELFSYM_ABSENT,
	LBPF_ELFSYM_STRIPPED, /* absent, and the file names only the functions that others may call, or none */
	LBPF_ELFSYM_CHOSEN,   /* which function has this name is chosen when a process starts (STT_GNU_IFUNC) */
	LBPF_ELFSYM_SEVERAL,  /* several functions have this name */
	LBPF_ELFSYM_VERSIONS, /* several have it, in versions of which none is the default */
	LBPF_ELFSYM_NOWHERE,  /* what has this name, or is at the offset, is no code in the file */
};

/* A function to be found, or a place to be looked at. */
struct lbpf_elfsym {
	const char *name; /* "name", of which the default version is meant, or "name@version"; NULL: at the offset */
	uint64_t offset;  /* in the file */
	enum lbpf_elfsym_found found;
	uint64_t meant; /* where no code is at the offset: where in the file the address by that number is, or 0 */
};

/* Finds them. Returns 0 or an errno of the file. */
int lbpf_elfsym_find(const struct lbpf_elf *elf, struct lbpf_elfsym *list, size_t count);

LBPF_HIDDEN_END

#endif
