/* SPDX-License-Identifier: MIT */
/* BLAKE2b (RFC 7693) with a digest of 256 bits: names for contents, which nobody finds a second text for. */
#ifndef LBPF_BASE_DIGEST_H
#define LBPF_BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/compat.h"

#define LBPF_DIGEST_HEX 65

struct lbpf_digest {
	uint64_t state[8];
	uint64_t total; /* bytes that are in the state or about to be */
	size_t used;	/* bytes that wait in the block */
	uint8_t block[128];
};

LBPF_HIDDEN_BEGIN

void lbpf_digest_begin(struct lbpf_digest *digest);
void lbpf_digest_add(struct lbpf_digest *digest, const void *data, size_t size);

/* Writes the digest as 64 hexadecimal digits and a NUL. */
void lbpf_digest_end(struct lbpf_digest *digest, char hex[LBPF_DIGEST_HEX]);

LBPF_HIDDEN_END

#endif
