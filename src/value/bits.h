/* SPDX-License-Identifier: MIT */
/* Bit-fields in memory, byte by byte. */
#ifndef LBPF_VALUE_BITS_H
#define LBPF_VALUE_BITS_H

#include "value/plan.h"

/* The bits of a field that lie in one byte: little-endian machines fill bytes from the low end, big-endian ones
 * from the high end, and BTF counts bits the same way. */
struct lbpf_chunk {
	uint8_t byte, shift, width;
};

static inline struct lbpf_chunk lbpf_chunk_at(const struct lbpf_node *n, unsigned int done)
{
	unsigned int at = n->bit + done, room = 8 - at % 8;
	struct lbpf_chunk c = { .byte = (uint8_t)(at / 8) };

	c.width = (uint8_t)(n->bits - done < room ? n->bits - done : room);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	c.shift = (uint8_t)(at % 8);
#else
	c.shift = (uint8_t)(room - c.width);
#endif
	return c;
}

/* Where the chunk that starts after `done` bits stands in the field's value. */
static inline unsigned int lbpf_chunk_place(const struct lbpf_node *n, unsigned int done, const struct lbpf_chunk *c)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	(void)n;
	(void)c;
	return done;
#else
	return n->bits - done - c->width;
#endif
}

static inline uint64_t lbpf_bits_load(const struct lbpf_node *n, const uint8_t *p)
{
	uint64_t value = 0;

	for (unsigned int done = 0; done < n->bits;) {
		struct lbpf_chunk c = lbpf_chunk_at(n, done);
		uint64_t part = (uint64_t)(p[c.byte] >> c.shift) & ((1U << c.width) - 1);

		value |= part << lbpf_chunk_place(n, done, &c);
		done += c.width;
	}
	return value;
}

static inline void lbpf_bits_store(const struct lbpf_node *n, uint8_t *p, uint64_t value)
{
	for (unsigned int done = 0; done < n->bits;) {
		struct lbpf_chunk c = lbpf_chunk_at(n, done);
		unsigned int mask = (1U << c.width) - 1;
		unsigned int part = (unsigned int)(value >> lbpf_chunk_place(n, done, &c)) & mask;

		p[c.byte] = (uint8_t)((p[c.byte] & ~(mask << c.shift)) | part << c.shift);
		done += c.width;
	}
}

#endif
