/* SPDX-License-Identifier: MIT */
/* Whether two types, each from its own BTF, give the same bytes the same meaning. Doesn't use Lua. */
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
	bool whole;	/* compare the sizes of structs and the values of enumerators as well */
	char path[128]; /* what has the types, such as "value"; names of members are appended */
	char difference[512];
};

bool lbpf_btfsame(struct lbpf_btfsame *same, uint32_t found, uint32_t wanted);

LBPF_HIDDEN_END

#endif
