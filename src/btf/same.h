/* SPDX-License-Identifier: MIT */
/* Whether two types, each of its own BTF, mean the same by the same bytes. No Lua here. */
#ifndef LBPF_BTF_SAME_H
#define LBPF_BTF_SAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

struct btf;

/* A difference, in words: "value.b is float, wanted unsigned int". */
struct lbpf_btfsame {
	const struct btf *found, *wanted;
	bool whole;	/* the sizes of structs and the values of enumerators count as well */
	char path[128]; /* what the types are of; members are added to it */
	char difference[512];
};

bool lbpf_btfsame(struct lbpf_btfsame *same, uint32_t found, uint32_t wanted);

LBPF_HIDDEN_END

#endif
