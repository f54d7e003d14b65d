/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "bpffd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Whether /proc calls what is behind fd by one of the names. */
static bool is_called(int fd, const char *name, const char *other)
{
	char path[64], target[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return errno == ENOENT;
	target[n] = '\0';
	return strstr(target, name) || strstr(target, other);
}

bool lbpf_fd_is_map(int fd)
{
	return is_called(fd, "bpf-map", "bpf_map");
}

bool lbpf_fd_is_prog(int fd)
{
	return is_called(fd, "bpf-prog", "bpf_prog");
}

/* The kernel has both names, by how the link was opened. */
bool lbpf_fd_is_link(int fd)
{
	return is_called(fd, "bpf-link", "bpf_link");
}
