/* SPDX-License-Identifier: MIT */
/* Files that are written whole or not at all. */
#ifndef LBPF_BASE_DRAFT_H
#define LBPF_BASE_DRAFT_H

#include <stddef.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Writes a file atomically: other processes see either the old contents or all of the new text, even after a crash.
 * What is not a regular file, such as a pipe or device, is written directly. Returns 0 or an errno. */
int lbpf_draft_write(const char *path, const char *text, size_t size);

/* The same for a path that is no symbolic link and lies in a private folder (base/files). Only this user may read the
 * file. */
int lbpf_draft_write_private(const char *path, const char *text, size_t size);

LBPF_HIDDEN_END

#endif
