/* SPDX-License-Identifier: MIT */
/* libbpf reads the object itself if there is nothing to change. A file is read as a whole only if there is. */
#include "legacy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "btfcheck.h"
#include "elf.h"
#include "legacydef.h"
#include "legacywrite.h"

static bool has_legacy(const struct lbpf_elf *elf)
{
	for (size_t i = 1; i < elf->head.e_shnum; i++)
		if (lbpf_old_section(elf, i))
			return true;
	return false;
}

/* Makes the new object. Returns 0, or an error after setting the cause. */
static int rewrite(struct lbpf_elf *elf, struct lbpf_legacy *result)
{
	struct lbpf_olds l = { .elf = elf, .cause = result->cause, .cause_size = sizeof(result->cause) };
	bool ok = lbpf_olds_read(&l) && lbpf_legacywrite(&l, &result->bytes, &result->size);

	lbpf_olds_free(&l);
	return ok ? 0 : l.err;
}

/* Looks at the BTF of an object. Returns 0, or an error after setting the cause. */
static int check_btf(const struct lbpf_elf *elf, struct lbpf_legacy *result)
{
	const char *cause = NULL;

	for (size_t i = 1; i < elf->head.e_shnum && !cause; i++) {
		const Elf64_Shdr *s = &elf->sections[i];
		void *bytes;

		if (strcmp(lbpf_elf_name(elf, i), ".BTF") != 0 || !lbpf_elf_inside(elf, s) || !s->sh_size)
			continue;
		bytes = malloc(s->sh_size);
		if (!bytes)
			return ENOMEM;
		cause = lbpf_elf_read(elf, bytes, s->sh_offset, s->sh_size) ? NULL
									    : lbpf_btfcheck(bytes, s->sh_size, NULL);
		free(bytes);
	}
	if (!cause)
		return 0;
	snprintf(result->cause, sizeof(result->cause), "%s", cause);
	return *cause ? LIBBPF_ERRNO__FORMAT : ENOMEM;
}

/* What becomes of a file that isn't of this machine's kind: libbpf tells what it is. But since 1.6 it opens those of
 * the other byte order, and variables would be in that order. */
static int not_ours(const struct lbpf_elf *elf, struct lbpf_legacy *result)
{
	if (!lbpf_elf_swapped(elf))
		return 0;
	snprintf(result->cause, sizeof(result->cause), "endianness: it is compiled for the other byte order");
	return LIBBPF_ERRNO__ENDIAN;
}

int lbpf_legacy_bytes(const void *bytes, size_t size, struct lbpf_legacy *result)
{
	struct lbpf_elf elf;
	int err;

	*result = (struct lbpf_legacy){ .bytes = NULL };
	err = lbpf_elf_open(&elf, -1, bytes, size);
	if (!err)
		err = check_btf(&elf, result);
	if (!err && has_legacy(&elf))
		err = rewrite(&elf, result);
	if (err == ENOEXEC)
		err = not_ours(&elf, result);
	lbpf_elf_close(&elf);
	return err;
}

/* Reads a file that has such maps as a whole. */
static int legacy_read(const struct lbpf_elf *elf, struct lbpf_legacy *result)
{
	void *bytes = malloc(elf->size);
	int err = bytes ? lbpf_elf_read(elf, bytes, 0, elf->size) : ENOMEM;

	if (!err)
		err = lbpf_legacy_bytes(bytes, elf->size, result);
	free(bytes);
	return err;
}

int lbpf_legacy_file(const char *path, struct lbpf_legacy *result)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;
	struct lbpf_elf elf;
	struct stat st;

	*result = (struct lbpf_legacy){ .bytes = NULL };
	if (fd < 0)
		return errno;
	if (fstat(fd, &st)) {
		err = errno;
	} else {
		err = lbpf_elf_open(&elf, fd, NULL, (uint64_t)st.st_size);
		if (!err && has_legacy(&elf))
			err = legacy_read(&elf, result);
		else if (!err)
			err = check_btf(&elf, result);
		if (err == ENOEXEC)
			err = not_ours(&elf, result);
		lbpf_elf_close(&elf);
	}
	close(fd);
	return err;
}
