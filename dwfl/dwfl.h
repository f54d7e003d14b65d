/* SPDX-License-Identifier: MIT */
/* What the files of bpf.dwfl share. They use Lua's own library and elfutils, and nothing of src/. */
#ifndef LBPF_DWFL_DWFL_H
#define LBPF_DWFL_DWFL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <elfutils/libdwfl.h>

#pragma GCC visibility push(hidden)

/* ---- symtab.c: the functions of the symbol tables ---- */

struct lbpf_symbol {
	uint64_t from, to; /* addresses of the file; `to` is that of the next symbol if the symbol has no size */
	const char *name;  /* the session's */
	int rank;	   /* of several names for one address, the one with the lowest rank is the best */
};

struct lbpf_symtab {
	struct lbpf_symbol *symbols; /* sorted by address */
	size_t count;
};

/* Reads the symbols of a module, and of its debug file. Returns false if memory ran out. */
bool lbpf_symtab_read(struct lbpf_symtab *table, Dwfl_Module *module);
void lbpf_symtab_free(struct lbpf_symtab *table);

/* The function at an address, or NULL. */
const struct lbpf_symbol *lbpf_symtab_find(const struct lbpf_symtab *table, uint64_t address);

/* ---- units.c: functions and lines of the debugging information ---- */

/* Where code comes from. An address in inlined code has several frames. */
struct lbpf_frame {
	const char *name; /* mangled; NULL if unknown */
	const char *file; /* NULL if unknown, the session's */
	int line;
};

#define LBPF_FRAMES 64 /* at most, for one address */

struct lbpf_units;

/* Returns NULL if there is no debugging information, or no memory. */
struct lbpf_units *lbpf_units_new(Dwfl_Module *module);
void lbpf_units_free(struct lbpf_units *units);

/* Fills frames, the innermost first; the last one is the function itself, which begins at *from. Returns their number,
 * 0 if the address is in no function that has debugging information. */
size_t lbpf_units_find(struct lbpf_units *units, uint64_t address, struct lbpf_frame *frames, uint64_t *from);

/* ---- demangle.c ---- */

/* The name as the programmer wrote it, for free(3); NULL if it is no mangled name or can't be demangled here. */
char *lbpf_demangle(const char *name);

/* ---- rust.c ---- */

/* The same for names of Rust's newer scheme. */
char *lbpf_rust_demangle(const char *name);

/* ---- debugfile.c ---- */

/* Whether the file of the descriptor has the debugging information of the ELF file. */
bool lbpf_debugfile_fits(int fd, Elf *elf);

#pragma GCC visibility pop

#endif
