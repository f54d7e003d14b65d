/* SPDX-License-Identifier: MIT */
/* Objects that libbpf can't get as they are. Objects with `struct bpf_map_def SEC("maps")`, which libbpf 1.0 and newer
 * refuse, are rewritten. Objects with damaged BTF, which may crash libbpf before 1.3, are refused. Doesn't use Lua. */
#ifndef LBPF_OBJECT_LEGACY_H
#define LBPF_OBJECT_LEGACY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

struct lbpf_legacy {
	void *bytes; /* the object to open, allocated by malloc; NULL: the given one, or a failure */
	size_t size;
	bool foreign;	 /* not BPF code: libbpf refuses it by its header, and says what it is */
	char cause[512]; /* the cause of a failure in words; "" if the code says enough */
};

/* Both return 0, or an errno or a libbpf error. A file that isn't ELF with BPF code for this machine is `foreign`. */
int lbpf_legacy_file(const char *path, struct lbpf_legacy *result);
int lbpf_legacy_bytes(const void *bytes, size_t size, struct lbpf_legacy *result);

LBPF_HIDDEN_END

#endif
