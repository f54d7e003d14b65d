/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "base/bpffd.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

/* Reads the name that /proc has for the file behind fd; "" if /proc doesn't tell. Returns whether the descriptor may be
 * open. */
static bool get_name(int fd, char *name, size_t size)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, name, size - 1);
	name[n < 0 ? 0 : n] = '\0';
	return n >= 0 || errno == ENOENT;
}

/* Whether /proc has one of these names for the file behind fd. */
static bool is_called(int fd, const char *name, const char *other)
{
	char target[64];

	return get_name(fd, target, sizeof(target)) && (!*target || strstr(target, name) || strstr(target, other));
}

bool lbpf_fd_is_map(int fd)
{
	return is_called(fd, "bpf-map", "bpf_map");
}

bool lbpf_fd_is_prog(int fd)
{
	return is_called(fd, "bpf-prog", "bpf_prog");
}

bool lbpf_fd_is_attachment(int fd)
{
	char target[64];

	get_name(fd, target, sizeof(target));
	return strstr(target, "bpf-link") || strstr(target, "bpf_link") || strstr(target, "[perf_event]");
}

/* The kernel has two names for links, depending on how the link was opened. */
bool lbpf_fd_is_link(int fd)
{
	return is_called(fd, "bpf-link", "bpf_link");
}

/* The first members of the kernel's information about maps, programs and links. Each kind has its own numbers for types
 * and ids. */
struct identity {
	uint32_t type, id;
};

static bool is_same(int fd, int other)
{
	struct identity one = { 0 }, two = { 0 };
	uint32_t len = sizeof(one), len2 = sizeof(two);

	if (lbpf_fd_is_map(fd) != lbpf_fd_is_map(other) || lbpf_fd_is_prog(fd) != lbpf_fd_is_prog(other))
		return false;
	return bpf_obj_get_info_by_fd(fd, &one, &len) == 0 && bpf_obj_get_info_by_fd(other, &two, &len2) == 0 &&
		memcmp(&one, &two, sizeof(one)) == 0;
}

const char *lbpf_fd_identify(int fd, uint32_t *id)
{
	struct identity own = { 0 };
	uint32_t len = sizeof(own);
	const char *kind = lbpf_fd_is_map(fd) ? "map" : lbpf_fd_is_prog(fd) ? "prog" : "link";

	if (bpf_obj_get_info_by_fd(fd, &own, &len))
		return NULL;
	*id = own.id;
	return kind;
}

int lbpf_fd_unpin(int fd, const char *path)
{
	int pinned = bpf_obj_get(path), err;

	if (pinned < 0)
		return errno;
	err = is_same(fd, pinned) ? 0 : EINVAL;
	close(pinned);
	return !err && unlink(path) ? errno : err;
}
