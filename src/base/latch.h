/* SPDX-License-Identifier: MIT */
/* A descriptor that becomes readable when one of others does, and stays so until it is reset. It is for those that say
 * only once that there is something to read, whoever asks: perf events do. An event loop that asks twice, as those with
 * an epoll in another do, would sleep over what is there. */
#ifndef LBPF_BASE_LATCH_H
#define LBPF_BASE_LATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

struct lbpf_latch {
	int fd; /* -1: closed */
	unsigned long aio;
	uint32_t process; /* that has the asynchronous polls; a child's may be others, of the same number */
};

/* Watches the descriptors that fd_of gives for 0 to count - 1, instead of those before. Returns 0, or an errno and all
 * is as it was; opens the latch if need be. */
int lbpf_latch_watch(struct lbpf_latch *latch, uint32_t count, int (*fd_of)(const void *of, uint32_t i),
		     const void *of);

void lbpf_latch_set(const struct lbpf_latch *latch);

/* Returns whether it was set. What comes from now on sets it again, and perhaps what came just before. */
bool lbpf_latch_reset(const struct lbpf_latch *latch);

void lbpf_latch_close(struct lbpf_latch *latch);

LBPF_HIDDEN_END

#endif
