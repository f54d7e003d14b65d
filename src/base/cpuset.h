/* SPDX-License-Identifier: MIT */
/* Sets of CPUs, as the kernel lists them in /sys/devices/system/cpu: "0-3,8". */
#ifndef LBPF_BASE_CPUSET_H
#define LBPF_BASE_CPUSET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* More CPUs than any kernel can be configured for. */
#define LBPF_CPUSET_CPUS 16384

struct lbpf_cpuset {
	uint64_t word[LBPF_CPUSET_CPUS / 64];
};

static inline bool lbpf_cpuset_has(const struct lbpf_cpuset *set, uint32_t cpu)
{
	return set->word[cpu / 64] >> cpu % 64 & 1;
}

/* Reads a list of the kernel's: "possible" or "online". Returns 0 or an errno; ENOENT if /sys isn't mounted. */
int lbpf_cpuset_read(struct lbpf_cpuset *set, const char *list);

LBPF_HIDDEN_END

#endif
