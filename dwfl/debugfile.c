/* SPDX-License-Identifier: MIT */
/* Whether a file is the debug file of another one: by their build ids, or by the checksum that `objcopy
 * --add-gnu-debuglink` stored. */
#include "dwfl.h"

#include <string.h>
#include <unistd.h>

#include <elfutils/libdwelf.h>

/* Adds bytes to a CRC-32, as zlib's crc32 does. */
static uint32_t crc_add(const uint32_t *table, uint32_t crc, const unsigned char *bytes, size_t size)
{
	crc = ~crc;
	for (size_t i = 0; i < size; i++)
		crc = table[(crc ^ bytes[i]) & 0xff] ^ (crc >> 8);
	return ~crc;
}

static void crc_fill(uint32_t *table)
{
	for (uint32_t i = 0; i < 256; i++) {
		table[i] = i;
		for (int bit = 0; bit < 8; bit++)
			table[i] = (table[i] >> 1) ^ (table[i] & 1 ? UINT32_C(0xedb88320) : 0);
	}
}

static bool has_crc(int fd, uint32_t wanted)
{
	unsigned char buffer[65536];
	uint32_t table[256], crc = 0;
	off_t at = 0;
	ssize_t n;

	crc_fill(table);
	while ((n = pread(fd, buffer, sizeof(buffer), at)) > 0) {
		crc = crc_add(table, crc, buffer, (size_t)n);
		at += n;
	}
	return n == 0 && crc == wanted;
}

bool lbpf_debugfile_fits(int fd, Elf *elf)
{
	Elf *other = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	const void *ours, *theirs;
	ssize_t size = dwelf_elf_gnu_build_id(elf, &ours), there;
	GElf_Word crc;
	bool fits;

	if (!other || elf_kind(other) != ELF_K_ELF) {
		elf_end(other);
		return false;
	}
	there = dwelf_elf_gnu_build_id(other, &theirs);
	if (size > 0 && there > 0)
		fits = size == there && !memcmp(ours, theirs, (size_t)size);
	else
		fits = dwelf_elf_gnu_debuglink(elf, &crc) && has_crc(fd, crc);
	elf_end(other);
	return fits;
}
