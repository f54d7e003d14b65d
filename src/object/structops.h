/* SPDX-License-Identifier: MIT */
/* What libbpf 1.1 needs before it loads an object with struct_ops maps. Doesn't use Lua. */
#ifndef LBPF_OBJECT_STRUCTOPS_H
#define LBPF_OBJECT_STRUCTOPS_H

#include <stdbool.h>

#include <bpf/libbpf.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Makes sure that this libbpf reads the kernel's BTF if the object's maps need it. Returns false if it would not read
 * it, and would crash. */
bool lbpf_structops_ready(struct bpf_object *obj);

LBPF_HIDDEN_END

#endif
