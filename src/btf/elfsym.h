/* SPDX-License-Identifier: MIT */
/* Finds functions of an ELF file by name: where in the file they begin. The file may be damaged. Doesn't use Lua. */
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
	/* Absent; the file names no functions, or only those that other files may call */
	LBPF_ELFSYM_STRIPPED,
	LBPF_ELFSYM_CHOSEN,   /* the function is chosen when a process starts (STT_GNU_IFUNC) */
	LBPF_ELFSYM_SEVERAL,  /* several functions have this name */
	LBPF_ELFSYM_VERSIONS, /* several versions of the function exist, and none is the default */
	LBPF_ELFSYM_NOWHERE,  /* what has this name, or is at the offset, is not code in the file */
};

/* A function to find, or a place to check. */
struct lbpf_elfsym {
	/* "name", for the default version, or "name@version"; NULL: check the offset */
	const char *name;
	uint64_t offset; /* in the file */
	enum lbpf_elfsym_found found;
	/* If no code is at the offset: where in the file the address with that number is, or 0 */
	uint64_t meant;
};

/* Finds the functions and checks the places. Returns 0, or an errno of reading the file. */
int lbpf_elfsym_find(const struct lbpf_elf *elf, struct lbpf_elfsym *list, size_t count);

LBPF_HIDDEN_END

#endif
