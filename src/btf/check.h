/* SPDX-License-Identifier: MIT */
/* Checks the BTF of an object before libbpf gets it, because libbpf before 1.3 trusts it. Doesn't use Lua. */
#ifndef LBPF_BTF_CHECK_H
#define LBPF_BTF_CHECK_H

#include <stddef.h>
#include <stdint.h>

#include <linux/btf.h>

#include "base/compat.h"

/* The smallest header, which has everything that is read. Newer headers of the kernel have more members. */
#define LBPF_BTF_HEADER (offsetof(struct btf_header, str_len) + sizeof(uint32_t))

LBPF_HIDDEN_BEGIN

struct btf;

/* Checks the bytes of .BTF, aligned to 4, whose types may refer to those of base (or NULL). Returns NULL, or what is
 * wrong with them; "" if there is no memory. Stops at an unknown kind of type, which libbpf will refuse as well. */
const char *lbpf_btfcheck(const void *bytes, size_t size, const struct btf *base);

LBPF_HIDDEN_END

#endif
