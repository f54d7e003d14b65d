/* SPDX-License-Identifier: MIT */
/* What kind of object of BPF's a descriptor is of. /proc tells; without it, the kernel's answer to an info request has
 * to do, which it gives for any kind. */
#ifndef LBPF_BASE_BPFFD_H
#define LBPF_BASE_BPFFD_H

#include <stdbool.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

bool lbpf_fd_is_map(int fd);
bool lbpf_fd_is_prog(int fd);
bool lbpf_fd_is_link(int fd);

/* Removes a pin of what the descriptor is of, and of nothing else. Returns an errno; EINVAL: it is no such pin. */
int lbpf_fd_unpin(int fd, const char *path);

/* Whether it is a link's or a perf event's; without /proc, no. */
bool lbpf_fd_is_attachment(int fd);

LBPF_HIDDEN_END

#endif
