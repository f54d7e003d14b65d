/* SPDX-License-Identifier: MIT */
/* Files that are written whole or not at all: a draft beside the file is renamed when it is complete. */
#define _GNU_SOURCE
#include "base/draft.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int write_all(int fd, const char *text, size_t size)
{
	while (size) {
		ssize_t n = write(fd, text, size);

		if (n < 0 && errno != EINTR)
			return errno;
		if (n > 0) {
			text += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

/* Opens the temporary file, which is renamed when it is complete. Two writers use the same name for it, so a lock
 * decides who writes. The lock ends with its process, and the next writer reuses the file of one that was killed.
 * Returns a descriptor, or -1 with errno. */
static int open_draft(const char *draft)
{
	for (;;) {
		struct stat here, there;
		int fd = open(draft, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666), err = 0;

		if (fd < 0)
			return -1;
		while (flock(fd, LOCK_EX) && (err = errno) == EINTR)
			err = 0;
		if (!err && !fstat(fd, &here) && !stat(draft, &there) && here.st_ino == there.st_ino)
			return fd;
		close(fd); /* the other writer has renamed it meanwhile */
		if (err) {
			errno = err;
			return -1;
		}
	}
}

/* Writes the draft and renames it. A mode other than 0 replaces that of new files. */
static int write_draft(const char *draft, const char *path, const char *text, size_t size, mode_t mode)
{
	int fd = open_draft(draft), err;

	if (fd < 0)
		return errno;
	err = (mode && fchmod(fd, mode)) || ftruncate(fd, 0) ? errno : write_all(fd, text, size);
	if (!err && fsync(fd))
		err = errno;
	if (!err && rename(draft, path))
		err = errno;
	if (err)
		unlink(draft);
	close(fd);
	return err;
}

int lbpf_draft_write(const char *path, const char *text, size_t size)
{
	char target[PATH_MAX], draft[PATH_MAX];
	struct stat st;
	int fd, err;

	if (!stat(path, &st) && !S_ISREG(st.st_mode)) {
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			return errno;
		err = write_all(fd, text, size);
		if (close(fd) && !err)
			err = errno;
		return err;
	}
	if (!realpath(path, target)) { /* the target of a symbolic link is replaced, not the link */
		if (errno != ENOENT)
			return errno;
		snprintf(target, sizeof(target), "%s", path);
	}
	if (snprintf(draft, sizeof(draft), "%s.new", target) >= (int)sizeof(draft))
		return ENAMETOOLONG;
	return write_draft(draft, target, text, size, 0);
}

int lbpf_draft_write_private(const char *path, const char *text, size_t size)
{
	char draft[PATH_MAX];

	if (snprintf(draft, sizeof(draft), "%s.new", path) >= (int)sizeof(draft))
		return ENAMETOOLONG;
	return write_draft(draft, path, text, size, S_IRUSR | S_IWUSR);
}
