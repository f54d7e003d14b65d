/* SPDX-License-Identifier: MIT */
/* The section table of a BPF ELF file, read from a descriptor or from memory. The file may be damaged: everything that
 * these functions return is checked to lie inside the file. Doesn't use Lua. */
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
	size_t count;	      /* number of sections. Not e_shnum, which is 0 if section 0 has the number */
	size_t names_at;      /* the section of their names; section 0 may have this number, too */
	Elf64_Shdr *sections; /* a copy of the table, with room for LBPF_ELF_SPARE more */
	char *names;	      /* a copy of the sections' names, ended by a zero byte of ours */
	uint64_t names_size;  /* without that byte */
};

enum { LBPF_ELF_SPARE = 4 };

/* Reads the table. Returns 0 or an errno: ENOEXEC if the file isn't ELF with BPF code for this machine, which libbpf
 * refuses by its header alone; ELIBBAD if the table is damaged; EFBIG if it is larger than any compiler makes it. In
 * any case lbpf_elf_close frees what was allocated. */
int lbpf_elf_open(struct lbpf_elf *elf, int fd, const void *bytes, uint64_t size);

/* Like lbpf_elf_open, for a file of any machine with 64 bits and this machine's byte order. */
int lbpf_elf_open_any(struct lbpf_elf *elf, int fd, const void *bytes, uint64_t size);
void lbpf_elf_close(struct lbpf_elf *elf);

/* Whether a file that could not be opened has BPF code in the other byte order. */
bool lbpf_elf_swapped(const struct lbpf_elf *elf);

/* Copies n bytes from an offset of the file. Returns 0 or an errno; ENOEXEC if they aren't inside the file. */
int lbpf_elf_read(const struct lbpf_elf *elf, void *to, uint64_t offset, uint64_t n);

/* A section's name; "" if it has none. */
const char *lbpf_elf_name(const struct lbpf_elf *elf, size_t section);

/* Whether a section's contents lie inside the file. False for a section without contents (SHT_NOBITS). */
bool lbpf_elf_inside(const struct lbpf_elf *elf, const Elf64_Shdr *section);

/* Whether a section has strings that are not compressed. libelf would decompress others, so libbpf would see other
 * strings than we do. */
bool lbpf_elf_strings(const struct lbpf_elf *elf, const Elf64_Shdr *section);

/* Finds section .BTF and stores its number; 0 if there is none. Returns NULL, or what is wrong: compilers make only
 * one, and libbpf would take the last of several. */
const char *lbpf_elf_btf(const struct lbpf_elf *elf, size_t *section);

LBPF_HIDDEN_END

#endif
