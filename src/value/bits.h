/* SPDX-License-Identifier: MIT */
/* Reading and writing bit-fields in memory, byte by byte. */
#ifndef LBPF_VALUE_BITS_H
#define LBPF_VALUE_BITS_H

#include "value/plan.h"

/* The bits of a field that are in one byte. Little-endian machines fill bytes from the lowest bit, big-endian ones from
 * the highest, and BTF counts bits in the same way. */
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

/* The position in the field's value of the chunk that starts after `done` bits. */
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
