/* SPDX-License-Identifier: MIT */
/* A descriptor that becomes readable when one of several others does, and stays readable until it is reset.
 *
 * It is for descriptors that report only once that there is something to read, to whoever asks first. Perf events are
 * such. An event loop with an epoll inside another epoll asks twice, and would sleep although there is something to
 * read. */
#ifndef LBPF_BASE_LATCH_H
#define LBPF_BASE_LATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

struct lbpf_latch {
	int fd; /* -1: closed */
	unsigned long aio;
	/* The process that made the asynchronous polls; in a child, the same number may mean other polls */
	uint32_t process;
};

/* Watches the descriptors that fd_of returns for 0 to count - 1, in place of those before. Opens the latch if it is
 * closed. Returns 0, or an errno and nothing has changed. */
int lbpf_latch_watch(struct lbpf_latch *latch, uint32_t count, int (*fd_of)(const void *of, uint32_t i),
		     const void *of);

void lbpf_latch_set(const struct lbpf_latch *latch);

/* Resets the latch and returns whether it was set. Whatever becomes readable from now on sets it again; so may what
 * became readable just before. */
bool lbpf_latch_reset(const struct lbpf_latch *latch);

void lbpf_latch_close(struct lbpf_latch *latch);

LBPF_HIDDEN_END

#endif
