/* SPDX-License-Identifier: MIT */
/* Reads the section table of an ELF file that may be damaged or hostile. Offsets may be unaligned, and sections may
 * overlap. So everything is copied, and ranges are checked without sums, which could overflow. */
#include "btf/elf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/types.h>

#ifndef EM_BPF
#define EM_BPF 247
#endif

/* Limits for the memory of a table. The file's size is no limit, because a file may be sparse. Compilers come nowhere
 * near these limits. */
enum { SECTIONS_MAX = 1 << 20, NAMES_MAX = 64 << 20 };

static bool range_inside(uint64_t offset, uint64_t n, uint64_t size)
{
	return offset <= size && n <= size - offset;
}

int lbpf_elf_read(const struct lbpf_elf *elf, void *to, uint64_t offset, uint64_t n)
{
	if (!range_inside(offset, n, elf->size))
		return ENOEXEC;
	if (elf->fd < 0) {
		if (n)
			memcpy(to, (const char *)elf->bytes + offset, n);
		return 0;
	}
	for (uint64_t done = 0; done < n;) {
		ssize_t got = pread(elf->fd, (char *)to + done, n - done, (off_t)(offset + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got ? errno : ENOEXEC; /* the file has become shorter */
		done += (uint64_t)got;
	}
	return 0;
}

bool lbpf_elf_inside(const struct lbpf_elf *elf, const Elf64_Shdr *section)
{
	return section->sh_type != SHT_NOBITS && range_inside(section->sh_offset, section->sh_size, elf->size);
}

bool lbpf_elf_strings(const struct lbpf_elf *elf, const Elf64_Shdr *section)
{
	return section->sh_type == SHT_STRTAB && !(section->sh_flags & SHF_COMPRESSED) && lbpf_elf_inside(elf, section);
}

const char *lbpf_elf_name(const struct lbpf_elf *elf, size_t section)
{
	uint64_t at = elf->sections[section].sh_name;

	return at < elf->names_size ? elf->names + at : "";
}

const char *lbpf_elf_btf(const struct lbpf_elf *elf, size_t *section)
{
	*section = 0;
	for (size_t i = 1; i < elf->count; i++) {
		if (strcmp(lbpf_elf_name(elf, i), ".BTF") != 0)
			continue;
		if (*section)
			return "it has more than one section .BTF";
		if (!lbpf_elf_inside(elf, &elf->sections[i]))
			return "section .BTF is damaged";
		*section = i;
	}
	return NULL;
}

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
enum { OUR_ORDER = ELFDATA2LSB, OTHER_ORDER = ELFDATA2MSB };
#else
enum { OUR_ORDER = ELFDATA2MSB, OTHER_ORDER = ELFDATA2LSB };
#endif

/* Whether this is the header of a file with 64 bits in the given byte order. */
static bool is_elf64(const Elf64_Ehdr *head, int order)
{
	return memcmp(head->e_ident, ELFMAG, SELFMAG) == 0 && head->e_ident[EI_CLASS] == ELFCLASS64 &&
		head->e_ident[EI_DATA] == order;
}

bool lbpf_elf_swapped(const struct lbpf_elf *elf)
{
	return is_elf64(&elf->head, OTHER_ORDER) &&
		(elf->head.e_machine == EM_NONE || __builtin_bswap16(elf->head.e_machine) == EM_BPF);
}

/* Sets the number of sections, and the number of the section with their names. If such a number is too large for the
 * header, ELF's extended numbering stores it in section 0. libelf reads it there even if it isn't too large. */
static int read_numbers(struct lbpf_elf *elf)
{
	const Elf64_Ehdr *head = &elf->head;
	Elf64_Shdr zero = { 0 };
	bool extended = head->e_shnum == 0 || head->e_shstrndx == SHN_XINDEX;
	int err = extended ? lbpf_elf_read(elf, &zero, head->e_shoff, sizeof(zero)) : 0;

	if (err)
		return err;
	elf->count = head->e_shnum ? head->e_shnum : zero.sh_size;
	elf->names_at = head->e_shstrndx == SHN_XINDEX ? zero.sh_link : head->e_shstrndx;
	if (head->e_shoff == 0 || head->e_shentsize != sizeof(Elf64_Shdr) || elf->names_at >= elf->count ||
	    elf->count > elf->size / sizeof(Elf64_Shdr))
		return ENOEXEC;
	return elf->count > SECTIONS_MAX ? EFBIG : 0;
}

/* Reads the tables that the header describes. */
static int read_table(struct lbpf_elf *elf)
{
	const Elf64_Shdr *names;
	int err = read_numbers(elf);

	if (err)
		return err;
	elf->sections = calloc(elf->count + LBPF_ELF_SPARE, sizeof(Elf64_Shdr));
	if (!elf->sections)
		return ENOMEM;
	err = lbpf_elf_read(elf, elf->sections, elf->head.e_shoff, elf->count * sizeof(Elf64_Shdr));
	if (err)
		return err;
	names = &elf->sections[elf->names_at];
	if (!lbpf_elf_strings(elf, names))
		return ENOEXEC;
	if (names->sh_size > NAMES_MAX)
		return EFBIG;
	elf->names = malloc(names->sh_size + 1);
	if (!elf->names)
		return ENOMEM;
	elf->names[names->sh_size] = '\0';
	elf->names_size = names->sh_size;
	err = lbpf_elf_read(elf, elf->names, names->sh_offset, names->sh_size);
	for (size_t i = 0; i < elf->count && !err; i++)
		if (elf->sections[i].sh_name >= names->sh_size)
			err = ENOEXEC;
	return err;
}

static int elf_open(struct lbpf_elf *elf, int fd, const void *bytes, uint64_t size, bool bpf)
{
	int err;

	*elf = (struct lbpf_elf){ .fd = fd, .bytes = bytes, .size = size };
	err = lbpf_elf_read(elf, &elf->head, 0, sizeof(elf->head));
	if (err)
		return err;
	if (!is_elf64(&elf->head, OUR_ORDER) ||
	    /* Libbpf accepts both. */
	    (bpf && elf->head.e_machine != EM_BPF && elf->head.e_machine != EM_NONE))
		return ENOEXEC;
	err = read_table(elf);
	return err == ENOEXEC ? ELIBBAD : err;
}

int lbpf_elf_open_any(struct lbpf_elf *elf, int fd, const void *bytes, uint64_t size)
{
	return elf_open(elf, fd, bytes, size, false);
}

int lbpf_elf_open(struct lbpf_elf *elf, int fd, const void *bytes, uint64_t size)
{
	return elf_open(elf, fd, bytes, size, true);
}

void lbpf_elf_close(struct lbpf_elf *elf)
{
	free(elf->sections);
	free(elf->names);
	elf->sections = NULL;
	elf->names = NULL;
}
