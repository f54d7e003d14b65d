/* SPDX-License-Identifier: MIT */
/* The section table of a BPF ELF file, read from a descriptor or from memory. Nothing in the file is believed: what
 * these functions return lies inside it. No Lua here. */
#ifndef LBPF_BTF_ELF_H
#define LBPF_BTF_ELF_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

struct lbpf_elf {
	int fd; /* where the file is; -1: in memory */
	const void *bytes;
	uint64_t size;
	Elf64_Ehdr head;
	size_t count;	      /* of sections: not e_shnum, which is 0 where section 0 has the number */
	size_t names_at;      /* the section of their names, likewise */
	Elf64_Shdr *sections; /* a copy of the table, with room for LBPF_ELF_SPARE more */
	char *names;	      /* a copy of the sections' names, ended by a zero byte of ours */
	uint64_t names_size;  /* without that byte */
};

enum { LBPF_ELF_SPARE = 4 };

/* Reads the table. Returns 0 or an errno: ENOEXEC if this is no ELF file with BPF code for this machine, which libbpf
 * refuses by its header alone; ELIBBAD if the table is damaged; EFBIG if no compiler makes one so large. Always
 * lbpf_elf_close frees what was allocated. */
int lbpf_elf_open(struct lbpf_elf *elf, int fd, const void *bytes, uint64_t size);

/* The same for a file of any machine with this one's byte order and 64 bits. */
int lbpf_elf_open_any(struct lbpf_elf *elf, int fd, const void *bytes, uint64_t size);
void lbpf_elf_close(struct lbpf_elf *elf);

/* Whether what couldn't be opened is BPF code in the other byte order. */
bool lbpf_elf_swapped(const struct lbpf_elf *elf);

/* Copies a part of the file. Returns 0 or an errno; ENOEXEC if the part isn't inside. */
int lbpf_elf_read(const struct lbpf_elf *elf, void *to, uint64_t offset, uint64_t n);

/* A section's name; "" if it has none. */
const char *lbpf_elf_name(const struct lbpf_elf *elf, size_t section);

/* Whether a section's contents lie inside the file. One without contents (SHT_NOBITS) has none that do. */
bool lbpf_elf_inside(const struct lbpf_elf *elf, const Elf64_Shdr *section);

/* Whether a section is strings as they are. libelf inflates those that are compressed: they would say something else
 * to libbpf. */
bool lbpf_elf_strings(const struct lbpf_elf *elf, const Elf64_Shdr *section);

/* Finds section .BTF, and sets its number; 0: there is none. Returns NULL, or what is wrong: compilers make one, and of
 * several libbpf takes the last. */
const char *lbpf_elf_btf(const struct lbpf_elf *elf, size_t *section);

LBPF_HIDDEN_END

#endif
