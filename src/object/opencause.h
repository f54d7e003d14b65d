/* SPDX-License-Identifier: MIT */
/* Why libbpf doesn't open an object, where it says too little: read from the object's BTF. No Lua here. */
#ifndef LBPF_OBJECT_OPENCAUSE_H
#define LBPF_OBJECT_OPENCAUSE_H

#include <stddef.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Writes the cause in words, or "" where it isn't known here. said is what libbpf printed. */
void lbpf_opencause(const void *bytes, size_t size, const char *said, char *cause, size_t room);

LBPF_HIDDEN_END

#endif
