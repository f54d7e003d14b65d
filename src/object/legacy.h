/* SPDX-License-Identifier: MIT */
/* What libbpf can't be given as it is: objects whose maps are `struct bpf_map_def SEC("maps")`, which 1.0 and newer
 * refuse, are rewritten; those with damaged BTF, over which versions before 1.3 stumble, fail. No Lua here. */
#ifndef LBPF_OBJECT_LEGACY_H
#define LBPF_OBJECT_LEGACY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

struct lbpf_legacy {
	void *bytes; /* the object to open, of malloc; NULL: that which was given, or it failed */
	size_t size;
	bool foreign;	 /* no BPF code: libbpf refuses it by its header, and says what it is */
	char cause[512]; /* of a failure, in words; "" leaves it to the code */
};

/* Both return 0, or an errno or libbpf error. What isn't an ELF file with BPF code for this
 * machine is `foreign`. */
int lbpf_legacy_file(const char *path, struct lbpf_legacy *result);
int lbpf_legacy_bytes(const void *bytes, size_t size, struct lbpf_legacy *result);

LBPF_HIDDEN_END

#endif
