/* SPDX-License-Identifier: MIT */
/* What kind of BPF object a descriptor refers to. /proc/self/fd tells. Without /proc, an info request has to do,
 * which the kernel answers for every kind. */
#ifndef LBPF_BASE_BPFFD_H
#define LBPF_BASE_BPFFD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

bool lbpf_fd_is_map(int fd);
bool lbpf_fd_is_prog(int fd);
bool lbpf_fd_is_link(int fd);

/* Returns "map", "prog" or "link", and the object's id; NULL with errno if the kernel doesn't tell. */
const char *lbpf_fd_identify(int fd, uint32_t *id);

/* Removes a pin of the object that the descriptor refers to. Returns 0 or an errno; EINVAL if something else is at the
 * path. */
int lbpf_fd_unpin(int fd, const char *path);

/* Whether the descriptor refers to a link or a perf event. False without /proc. */
bool lbpf_fd_is_attachment(int fd);

LBPF_HIDDEN_END

#endif
