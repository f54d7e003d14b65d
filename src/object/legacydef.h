/* SPDX-License-Identifier: MIT */
/* Old map definitions: `struct bpf_map_def SEC("maps")` and its kin, found by their symbols. No Lua here. */
#ifndef LBPF_OBJECT_LEGACYDEF_H
#define LBPF_OBJECT_LEGACYDEF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compat.h"
#include "btf/elf.h"
#include "object/legacybtf.h"

LBPF_HIDDEN_BEGIN

/* Where a definition was, and how it names others. */
struct lbpf_old {
	const char *name;
	uint32_t symbol, section;
	uint64_t offset, size;
	uint32_t id, inner_id, inner_idx, inner_map_idx;
	bool has_inner_map_idx, has_inner_idx;
};

/* All that an object has. The caller sets the first three. */
struct lbpf_olds {
	struct lbpf_elf *elf;
	char *cause; /* where words about a failure go */
	size_t cause_size;
	int err;	    /* an errno or libbpf error */
	Elf64_Shdr symbols; /* the symbol table's section */
	uint64_t n_symbols;
	char *strings; /* names of the symbols, ended by a zero byte of ours */
	uint64_t strings_size;
	uint32_t *counts;	  /* definitions by section */
	struct lbpf_old *olds;	  /* in the order of their places */
	struct lbpf_mapdef *defs; /* one for each of olds */
	size_t n;
	size_t btf;	 /* section .BTF, or 0 */
	void *btf_bytes; /* a copy */
};

/* Whether a section of this name holds old definitions, if its kind is right; whether section i does. */
bool lbpf_old_named(const char *section);
bool lbpf_old_section(const struct lbpf_elf *elf, size_t i);

/* Reads the definitions. False: they can't be, err and cause say why. Either way lbpf_olds_free frees. */
bool lbpf_olds_read(struct lbpf_olds *l);
void lbpf_olds_free(struct lbpf_olds *l);

Elf64_Sym lbpf_old_symbol(const struct lbpf_olds *l, uint64_t i);
const char *lbpf_old_symbol_name(const struct lbpf_olds *l, const Elf64_Sym *sym);

/* Whether the object says that map i of iproute2's is in the outer one from the start. */
bool lbpf_old_slotted(const struct lbpf_olds *l, size_t i, const struct lbpf_old *outer);

/* Sets the error to one of format, in words. Returns false. */
__attribute__((format(printf, 2, 3))) bool lbpf_old_fail(struct lbpf_olds *l, const char *fmt, ...);

/* Returns zeroed memory, or NULL and sets the error. */
void *lbpf_old_take(struct lbpf_olds *l, uint64_t n, uint64_t each);

LBPF_HIDDEN_END

#endif
