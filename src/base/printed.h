/* SPDX-License-Identifier: MIT */
/* Finds the message of libbpf that says why a call failed. Doesn't use Lua. */
#ifndef LBPF_BASE_PRINTED_H
#define LBPF_BASE_PRINTED_H

#include <stddef.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* The message in `text`, which libbpf printed during a call, that says why the call failed; its length in *len. NULL if
 * no message does. */
const char *lbpf_printed_cause(const char *text, size_t *len);

LBPF_HIDDEN_END

#endif
