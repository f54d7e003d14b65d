/* SPDX-License-Identifier: MIT */
/* Whether the BTF of an object can be given to libbpf, which before 1.3 believes what it says. No Lua here. */
#ifndef LBPF_BTF_CHECK_H
#define LBPF_BTF_CHECK_H

#include <stddef.h>
#include <stdint.h>

#include <linux/btf.h>

#include "base/compat.h"

/* What a header has at least, and all that is read of it; newer headers of the kernel have more. */
#define LBPF_BTF_HEADER (offsetof(struct btf_header, str_len) + sizeof(uint32_t))

LBPF_HIDDEN_BEGIN

struct btf;

/* Looks at the bytes of .BTF, aligned to 4, whose types may refer to those of base (or NULL). Returns NULL or what is
 * wrong with them; "" for no memory. A kind of type that isn't known ends the search: libbpf will refuse what it
 * doesn't know either. */
const char *lbpf_btfcheck(const void *bytes, size_t size, const struct btf *base);

LBPF_HIDDEN_END

#endif
