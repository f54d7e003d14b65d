/* SPDX-License-Identifier: MIT */
/* Writes the new object for one with old map definitions. Doesn't use Lua. */
#ifndef LBPF_OBJECT_LEGACYWRITE_H
#define LBPF_OBJECT_LEGACYWRITE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compat.h"
#include "object/legacydef.h"

LBPF_HIDDEN_BEGIN

/* Makes the object, allocated by malloc, from definitions that were read. The section table in l->elf becomes the new
 * one. Returns false after a failure, which l->err and the cause describe. */
bool lbpf_legacywrite(struct lbpf_legacy_defs *l, void **bytes, size_t *size);

LBPF_HIDDEN_END

#endif
