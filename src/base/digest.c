/* SPDX-License-Identifier: MIT */
/* BLAKE2b without a key. Its numbers are the fractions of the square roots of the first eight primes. */
#include "base/digest.h"

#include <endian.h>
#include <string.h>

#define DIGEST_BYTES 32

static const uint64_t START[8] = {
	0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
	0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

/* The order in which each round takes the words of a block. */
static const uint8_t ORDER[12][16] = {
	{ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
	{ 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3 },
	{ 11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4 },
	{ 7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8 },
	{ 9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13 },
	{ 2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9 },
	{ 12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11 },
	{ 13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10 },
	{ 6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5 },
	{ 10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0 },
	{ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
	{ 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3 },
};

static inline uint64_t rotate(uint64_t x, int by)
{
	return x >> by | x << (64 - by);
}

static inline void mix(uint64_t *v, int a, int b, int c, int d, uint64_t x, uint64_t y)
{
	v[a] += v[b] + x;
	v[d] = rotate(v[d] ^ v[a], 32);
	v[c] += v[d];
	v[b] = rotate(v[b] ^ v[c], 24);
	v[a] += v[b] + y;
	v[d] = rotate(v[d] ^ v[a], 16);
	v[c] += v[d];
	v[b] = rotate(v[b] ^ v[c], 63);
}

static void compress(struct lbpf_digest *digest, const uint8_t *block, int last)
{
	uint64_t v[16], m[16];

	memcpy(m, block, sizeof(m));
	for (int i = 0; i < 16; i++)
		m[i] = le64toh(m[i]);
	memcpy(v, digest->state, sizeof(digest->state));
	memcpy(v + 8, START, sizeof(START));
	v[12] ^= digest->total;
	v[14] ^= last ? ~UINT64_C(0) : 0;
	for (int round = 0; round < 12; round++) {
		const uint8_t *order = ORDER[round];

		for (int i = 0; i < 4; i++)
			mix(v, i, 4 + i, 8 + i, 12 + i, m[order[2 * i]], m[order[2 * i + 1]]);
		for (int i = 0; i < 4; i++)
			mix(v, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, m[order[8 + 2 * i]],
			    m[order[9 + 2 * i]]);
	}
	for (int i = 0; i < 8; i++)
		digest->state[i] ^= v[i] ^ v[8 + i];
}

void lbpf_digest_begin(struct lbpf_digest *digest)
{
	memset(digest, 0, sizeof(*digest));
	memcpy(digest->state, START, sizeof(START));
	digest->state[0] ^= 0x01010000 ^ DIGEST_BYTES;
}

void lbpf_digest_add(struct lbpf_digest *digest, const void *data, size_t size)
{
	const uint8_t *from = data;

	while (size) {
		size_t room = sizeof(digest->block) - digest->used, n = size < room ? size : room;

		if (!room) { /* the last block is marked as such: so a full one waits until more comes */
			compress(digest, digest->block, 0);
			digest->used = 0;
			continue;
		}
		memcpy(digest->block + digest->used, from, n);
		digest->used += n;
		digest->total += n;
		from += n;
		size -= n;
	}
}

void lbpf_digest_end(struct lbpf_digest *digest, char hex[LBPF_DIGEST_HEX])
{
	static const char DIGITS[] = "0123456789abcdef";

	memset(digest->block + digest->used, 0, sizeof(digest->block) - digest->used);
	compress(digest, digest->block, 1);
	for (int i = 0; i < DIGEST_BYTES; i++) {
		unsigned int byte = digest->state[i / 8] >> (8 * (i % 8)) & 0xff;

		hex[2 * i] = DIGITS[byte >> 4];
		hex[2 * i + 1] = DIGITS[byte & 15];
	}
	hex[2 * DIGEST_BYTES] = 0;
}
