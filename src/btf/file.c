/* SPDX-License-Identifier: MIT */
/* BTF in files: those of BTF alone, and the section .BTF of ELF files. Both may be damaged. */
#define _GNU_SOURCE
#include "btf/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "base/log.h"
#include "btf/check.h"
#include "btf/elf.h"

enum { BTF_MAX = 256 << 20 }; /* bytes; the kernel's BTF has some millions */

/* BTF that was read from a file. */
struct bytes {
	void *bytes; /* allocated by malloc */
	uint64_t size;
	const char *cause; /* of a failure, in words */
};

/* Copies a part of a file. Returns 0 or an errno. */
static int read_part(const struct lbpf_elf *file, uint64_t offset, uint64_t size, struct bytes *to)
{
	int err;

	if (size > BTF_MAX) {
		to->cause = "no BTF has more than 256 MiB";
		return EFBIG;
	}
	to->bytes = malloc(size ? size : 1);
	to->size = size;
	if (!to->bytes)
		return ENOMEM;
	err = lbpf_elf_read(file, to->bytes, offset, size);
	if (err == ENOEXEC) {
		to->cause = "the file became shorter";
		err = LIBBPF_ERRNO__FORMAT;
	}
	return err;
}

/* Reads section .BTF. */
static int read_section(struct lbpf_elf *elf, struct bytes *to)
{
	int err = lbpf_elf_open_any(elf, elf->fd, NULL, elf->size);
	size_t section;

	if (err == ENOEXEC || err == ELIBBAD) {
		to->cause = "neither BTF nor an ELF file of this machine's byte order, or damaged";
		return LIBBPF_ERRNO__FORMAT;
	}
	if (err == EFBIG)
		to->cause = "it has more sections, or longer names of them, than any compiler makes";
	if (err)
		return err;
	to->cause = lbpf_elf_btf(elf, &section);
	if (to->cause)
		return LIBBPF_ERRNO__FORMAT;
	if (section)
		return read_part(elf, elf->sections[section].sh_offset, elf->sections[section].sh_size, to);
	to->cause = "it has no section .BTF; clang needs -g";
	return ENODATA;
}

static int read_file(int fd, struct bytes *to)
{
	struct lbpf_elf file = { .fd = fd };
	uint16_t magic = 0;
	struct stat st;
	int err;

	if (fstat(fd, &st))
		return errno;
	if (S_ISDIR(st.st_mode))
		return EISDIR;
	if (!S_ISREG(st.st_mode)) {
		to->cause = "this is no regular file";
		return EINVAL;
	}
	file.size = (uint64_t)st.st_size;
	err = lbpf_elf_read(&file, &magic, 0, sizeof(magic));
	if (!err && magic == BTF_MAGIC)
		err = read_part(&file, 0, file.size, to);
	else if (!err || err == ENOEXEC)
		err = read_section(&file, to);
	lbpf_elf_close(&file);
	return err;
}

/* libbpf has btf__new_split only since 1.4. Older versions read split BTF only from files. Returns NULL and sets errno
 * after a failure. */
static struct btf *new_split(const struct bytes *read, struct btf *base)
{
	struct btf *btf = NULL;
	char path[32];
	int fd = memfd_create("btf", MFD_CLOEXEC), err = 0;

	if (fd < 0)
		return NULL;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (write(fd, read->bytes, read->size) != (ssize_t)read->size)
		err = ENOMEM;
	else if (!(btf = btf__parse_raw_split(path, base)))
		err = errno;
	close(fd);
	errno = err;
	return btf;
}

/* Reads a file and checks its BTF, which may have a base or NULL. Returns 0 or an errno. */
static int read_checked(const char *path, const struct btf *base, struct bytes *read)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err;

	err = fd < 0 ? errno : read_file(fd, read);
	if (fd >= 0)
		close(fd);
	if (err)
		return err;
	read->cause = lbpf_btfcheck(read->bytes, read->size, base);
	if (!read->cause)
		return 0;
	return *read->cause ? LIBBPF_ERRNO__FORMAT : ENOMEM;
}

int lbpf_btffile_check(const char *path, const char **cause)
{
	struct bytes read = { .bytes = NULL };
	int err = read_checked(path, NULL, &read);

	free(read.bytes);
	*cause = err == ENOMEM ? NULL : read.cause;
	return err == ENODATA || (err != ENOMEM && !read.cause) ? 0 : err;
}

int lbpf_btffile_parse(lua_State *L, const char *path, struct btf *base, struct lbpf_btf *handle, const char **cause)
{
	struct bytes read = { .bytes = NULL };
	struct lbpf_log *log = lbpf_log_begin(L);
	int err = read_checked(path, base, &read);

	if (!err) {
		handle->btf = base ? new_split(&read, base) : btf__new(read.bytes, (uint32_t)read.size);
		if (!handle->btf)
			err = errno;
	}
	lbpf_log_end(log);
	free(read.bytes);
	*cause = err == ENOMEM ? NULL : read.cause;
	return err;
}
