/* SPDX-License-Identifier: MIT */
/* The edit distance of two names: to suggest an existing name for one that doesn't exist. */
#ifndef LBPF_BASE_DISTANCE_H
#define LBPF_BASE_DISTANCE_H

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

#define LBPF_DISTANCE_MAX 40 /* letters of a name that are compared */

/* How many letters must be added, removed or changed to make one name of the other. */
unsigned int lbpf_distance(const char *a, const char *b);

LBPF_HIDDEN_END

#endif
