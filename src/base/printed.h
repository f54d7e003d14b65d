/* SPDX-License-Identifier: MIT */
/* What libbpf prints: which of its messages says why a call failed. Knows no Lua. */
#ifndef LBPF_BASE_PRINTED_H
#define LBPF_BASE_PRINTED_H

#include <stddef.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* The message that says why the call failed which printed this text, and its length; NULL when none does. */
const char *lbpf_printed_cause(const char *text, size_t *len);

LBPF_HIDDEN_END

#endif
