/* SPDX-License-Identifier: MIT */
/* Sets of CPUs, as the kernel lists them. */
#include "base/cpuset.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Reads "first" or "first-last". Returns false if it is neither. */
static bool read_range(FILE *file, uint32_t *first, uint32_t *last)
{
	int c;

	if (fscanf(file, "%u", first) != 1)
		return false;
	*last = *first;
	c = getc(file);
	if (c == '-')
		return fscanf(file, "%u", last) == 1;
	ungetc(c, file);
	return true;
}

static int read_list(FILE *file, struct lbpf_cpuset *set)
{
	uint32_t first, last;

	do {
		if (!read_range(file, &first, &last) || first > last || last >= LBPF_CPUSET_CPUS)
			return ferror(file) ? EIO : EINVAL;
		for (uint32_t cpu = first; cpu <= last; cpu++)
			set->word[cpu / 64] |= 1ULL << cpu % 64;
	} while (getc(file) == ',');
	return 0;
}

int lbpf_cpuset_read(struct lbpf_cpuset *set, const char *list)
{
	char path[64];
	FILE *file;
	int err;

	memset(set, 0, sizeof(*set));
	snprintf(path, sizeof(path), "/sys/devices/system/cpu/%s", list);
	file = fopen(path, "re");
	if (!file)
		return errno;
	err = read_list(file, set);
	fclose(file);
	return err;
}
