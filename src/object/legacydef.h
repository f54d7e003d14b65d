/* SPDX-License-Identifier: MIT */
/* Reads old map definitions: `struct bpf_map_def SEC("maps")` and similar ones, found by their symbols. Doesn't use
 * Lua. */
#ifndef LBPF_OBJECT_LEGACYDEF_H
#define LBPF_OBJECT_LEGACYDEF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compat.h"
#include "btf/elf.h"
#include "object/legacybtf.h"

LBPF_HIDDEN_BEGIN

/* Where a definition is, and how it refers to others. */
struct lbpf_legacy_def {
	const char *name;
	uint32_t symbol, section;
	uint64_t offset, size;
	uint32_t id, inner_id, inner_idx, inner_map_idx;
	bool has_inner_map_idx, has_inner_idx;
};

/* All old definitions of an object. The caller sets the first three members. */
struct lbpf_legacy_defs {
	struct lbpf_elf *elf;
	char *cause; /* room for the cause of a failure in words */
	size_t cause_size;
	int err;	    /* an errno or libbpf error */
	Elf64_Shdr symbols; /* the symbol table's section */
	uint64_t n_symbols;
	char *strings; /* names of the symbols, followed by a zero byte that we add */
	uint64_t strings_size;
	uint32_t *counts;	      /* number of definitions by section */
	struct lbpf_legacy_def *olds; /* in the order of their places in the file */
	struct lbpf_mapdef *defs;     /* one for each element of olds */
	size_t n;
	size_t btf;	 /* section .BTF, or 0 */
	void *btf_bytes; /* a copy */
};

/* Whether a section with this name holds old definitions, if it is data; and whether section i does. */
bool lbpf_legacy_named(const char *section);
bool lbpf_legacy_section(const struct lbpf_elf *elf, size_t i);

/* Reads the definitions. Returns false if they can't be read; err and cause say why. In any case lbpf_legacy_defs_free
 * frees. */
bool lbpf_legacy_defs_read(struct lbpf_legacy_defs *l);
void lbpf_legacy_defs_free(struct lbpf_legacy_defs *l);

Elf64_Sym lbpf_legacy_symbol(const struct lbpf_legacy_defs *l, uint64_t i);
const char *lbpf_legacy_symbol_name(const struct lbpf_legacy_defs *l, const Elf64_Sym *sym);

/* For iproute2's definitions: whether the object places map i into a slot of the map of maps `outer`. */
bool lbpf_legacy_slotted(const struct lbpf_legacy_defs *l, size_t i, const struct lbpf_legacy_def *outer);

/* Sets a format error with a message. Returns false. */
__attribute__((format(printf, 2, 3))) bool lbpf_legacy_fail(struct lbpf_legacy_defs *l, const char *fmt, ...);

/* Returns memory that is zero; or NULL, and sets the error. */
void *lbpf_legacy_take(struct lbpf_legacy_defs *l, uint64_t n, uint64_t each);

LBPF_HIDDEN_END

#endif
