/* SPDX-License-Identifier: MIT */
/* Sets of CPUs, as the kernel lists them. */
#include "base/cpuset.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST 4096 /* a file of sysfs is a page at most */

/* Reads a number at *text, and moves *text behind it. Returns false if there is none, or no CPU can have it. */
static bool read_cpu(char **text, uint32_t *cpu)
{
	char *end;
	unsigned long value = strtoul(*text, &end, 10);

	if (**text < '0' || **text > '9' || value >= LBPF_CPUSET_CPUS)
		return false;
	*text = end;
	*cpu = (uint32_t)value;
	return true;
}

/* Adds "first", or "first-last". */
static bool add_range(struct lbpf_cpuset *set, char **text)
{
	uint32_t first, last;

	if (!read_cpu(text, &first))
		return false;
	last = first;
	if (**text == '-') {
		++*text;
		if (!read_cpu(text, &last) || last < first)
			return false;
	}
	for (uint32_t cpu = first; cpu <= last; cpu++)
		set->word[cpu / 64] |= 1ULL << cpu % 64;
	return true;
}

static int read_list(struct lbpf_cpuset *set, char *text)
{
	while (add_range(set, &text)) {
		if (*text == '\0' || *text == '\n')
			return 0;
		if (*text++ != ',')
			break;
	}
	return EINVAL;
}

int lbpf_cpuset_read(struct lbpf_cpuset *set, const char *list)
{
	char path[64], text[LONGEST];
	FILE *file;

	memset(set, 0, sizeof(*set));
	snprintf(path, sizeof(path), "/sys/devices/system/cpu/%s", list);
	file = fopen(path, "re");
	if (!file)
		return errno;
	if (!fgets(text, sizeof(text), file))
		text[0] = '\0';
	fclose(file);
	return read_list(set, text);
}
