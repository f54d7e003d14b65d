/* SPDX-License-Identifier: MIT */
/* Objects with struct_ops maps, before they are loaded by libbpf 1.1. No Lua here. */
#ifndef LBPF_OBJECT_STRUCTOPS_H
#define LBPF_OBJECT_STRUCTOPS_H

#include <stdbool.h>

#include <bpf/libbpf.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Sees to it that this libbpf reads the kernel's BTF if the object's maps need it. False: it wouldn't, and would crash.
 */
bool lbpf_structops_ready(struct bpf_object *obj);

LBPF_HIDDEN_END

#endif
