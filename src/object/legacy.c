/* SPDX-License-Identifier: MIT */
/* A file is read once, as a whole, and libbpf gets the bytes. If libbpf read the file itself, another file might be
 * there by then. */
#include "object/legacy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "btf/check.h"
#include "btf/elf.h"
#include "object/legacydef.h"
#include "object/legacywrite.h"

#define FILE_MAX (1 << 30) /* bytes of a file; the largest objects have some millions of bytes */

static bool has_legacy(const struct lbpf_elf *elf)
{
	for (size_t i = 1; i < elf->count; i++)
		if (lbpf_legacy_section(elf, i))
			return true;
	return false;
}

/* Makes the new object. Returns 0, or an error after setting the cause. */
static int rewrite(struct lbpf_elf *elf, struct lbpf_legacy *result)
{
	struct lbpf_legacy_defs l = { .elf = elf, .cause = result->cause, .cause_size = sizeof(result->cause) };
	bool ok = lbpf_legacy_defs_read(&l) && lbpf_legacywrite(&l, &result->bytes, &result->size);

	lbpf_legacy_defs_free(&l);
	return ok ? 0 : l.err;
}

static int fail_format(struct lbpf_legacy *result, const char *cause)
{
	snprintf(result->cause, sizeof(result->cause), "%s", cause);
	return LIBBPF_ERRNO__FORMAT;
}

/* Checks the BTF of an object. Returns 0, or an error after setting the cause. */
static int check_btf(const struct lbpf_elf *elf, struct lbpf_legacy *result)
{
	size_t section;
	const char *cause = lbpf_elf_btf(elf, &section);
	const Elf64_Shdr *s;
	void *bytes;

	if (cause)
		return fail_format(result, cause);
	s = &elf->sections[section];
	if (!section || !s->sh_size)
		return 0;
	bytes = malloc(s->sh_size);
	if (!bytes)
		return ENOMEM;
	if (!lbpf_elf_read(elf, bytes, s->sh_offset, s->sh_size))
		cause = lbpf_btfcheck(bytes, s->sh_size, NULL);
	free(bytes);
	if (!cause)
		return 0;
	return *cause ? fail_format(result, cause) : ENOMEM;
}

/* Handles a file that isn't for this kind of machine. libbpf reports what it is. But since 1.6 libbpf opens files of
 * the other byte order, whose variables we could not read, so such files are refused here. */
static int not_ours(const struct lbpf_elf *elf, struct lbpf_legacy *result)
{
	if (!lbpf_elf_swapped(elf)) {
		result->foreign = true;
		return 0;
	}
	snprintf(result->cause, sizeof(result->cause), "endianness: it is compiled for the other byte order");
	return LIBBPF_ERRNO__ENDIAN;
}

int lbpf_legacy_bytes(const void *bytes, size_t size, struct lbpf_legacy *result)
{
	struct lbpf_elf elf;
	int err;

	*result = (struct lbpf_legacy){ .bytes = NULL };
	if (!size)
		return fail_format(result, "it is empty");
	err = lbpf_elf_open(&elf, -1, bytes, size);
	if (!err)
		err = check_btf(&elf, result);
	if (!err && has_legacy(&elf))
		err = rewrite(&elf, result);
	if (err == ENOEXEC)
		err = not_ours(&elf, result);
	else if (err == ELIBBAD) /* libbpf may find sections where we find none */
		err = fail_format(result, "its section table is damaged");
	lbpf_elf_close(&elf);
	return err;
}

/* ---- files ---- */

/* The contents of a file, in memory from malloc. */
struct contents {
	char *bytes;
	size_t size, room;
};

/* Reads up to the end: files in /proc don't tell their size. Returns 0 or an errno. */
static int read_all(int fd, struct contents *c)
{
	for (;;) {
		ssize_t n;

		if (c->size == c->room) {
			size_t room = c->room * 2;
			char *more = room > FILE_MAX ? NULL : realloc(c->bytes, room);

			if (!more)
				return room > FILE_MAX ? EFBIG : ENOMEM;
			c->bytes = more;
			c->room = room;
		}
		n = read(fd, c->bytes + c->size, c->room - c->size);
		if (n == 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return errno;
		c->size += n > 0 ? (size_t)n : 0;
	}
}

static int read_file(int fd, struct contents *c, struct lbpf_legacy *result)
{
	struct stat st;

	if (fstat(fd, &st))
		return errno;
	if (S_ISDIR(st.st_mode))
		return EISDIR;
	if (!S_ISREG(st.st_mode)) {
		snprintf(result->cause, sizeof(result->cause), "this is no regular file");
		return EINVAL;
	}
	if (st.st_size >= FILE_MAX)
		return EFBIG;
	/* One byte more, so that a single read shows that this is the end. */
	c->room = st.st_size > 4095 ? (size_t)st.st_size + 1 : 4096;
	c->bytes = malloc(c->room);
	return c->bytes ? read_all(fd, c) : ENOMEM;
}

int lbpf_legacy_file(const char *path, struct lbpf_legacy *result)
{
	/* opening a pipe, for example, must not wait */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), err;
	struct contents c = { .bytes = NULL };

	*result = (struct lbpf_legacy){ .bytes = NULL };
	if (fd < 0)
		return errno;
	err = read_file(fd, &c, result);
	close(fd);
	if (!err)
		err = lbpf_legacy_bytes(c.bytes, c.size, result);
	if (!err && !result->bytes) {
		result->bytes = c.bytes;
		result->size = c.size;
		return 0;
	}
	free(c.bytes);
	return err;
}
