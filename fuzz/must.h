/* SPDX-License-Identifier: MIT */
#ifndef LBPF_FUZZ_MUST_H
#define LBPF_FUZZ_MUST_H

#include <stdio.h>

/* Not assert, whose aborts name the line but end in the same place for the fuzzer. */
#define must(ok)                                           \
	do {                                               \
		if (!(ok)) {                               \
			fprintf(stderr, "not: %s\n", #ok); \
			__builtin_trap();                  \
		}                                          \
	} while (0)

#endif
