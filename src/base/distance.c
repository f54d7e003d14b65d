/* SPDX-License-Identifier: MIT */
#include "base/distance.h"

#include <string.h>

unsigned int lbpf_distance(const char *a, const char *b)
{
	size_t n = strnlen(a, LBPF_DISTANCE_MAX), m = strnlen(b, LBPF_DISTANCE_MAX);
	unsigned int row[LBPF_DISTANCE_MAX + 1];

	for (unsigned int j = 0; j <= m; j++)
		row[j] = j;
	for (unsigned int i = 1; i <= n; i++) {
		unsigned int diagonal = row[0];

		row[0] = i;
		for (unsigned int j = 1; j <= m; j++) {
			unsigned int best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[m];
}
