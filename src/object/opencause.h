/* SPDX-License-Identifier: MIT */
/* Why libbpf did not open an object, if its messages say too little: found in the object's BTF. Doesn't use Lua. */
#ifndef LBPF_OBJECT_OPENCAUSE_H
#define LBPF_OBJECT_OPENCAUSE_H

#include <stddef.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Writes the cause in words, or "" if it isn't found. `said` is what libbpf printed. */
void lbpf_opencause(const void *bytes, size_t size, const char *said, char *cause, size_t room);

LBPF_HIDDEN_END

#endif
