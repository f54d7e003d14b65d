/* SPDX-License-Identifier: MIT */
/* Sources of records: memory that the kernel fills, and two positions in it.
 *
 * Our position is in a page that other processes and other readers can map and write, so it is read again before each
 * record. Everything in shared memory is read once, and checked before it is used. */
#ifndef LBPF_EVENT_SOURCE_H
#define LBPF_EVENT_SOURCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lua.h>

#include "base/compat.h"
#include "value/plan.h"

LBPF_HIDDEN_BEGIN

/* How the records of a map reach the script. */
struct lbpf_feed {
	const struct lbpf_type *type;
	lua_Integer refs; /* index of the feed's first reference in the reader's table */
	bool unpack, into;
};

/* First member of a kind's own struct. */
struct lbpf_source {
	/* The kernel's position, up to which it has written; the reader's position, up to which it may overwrite */
	_Atomic unsigned long *head, *tail;
	const uint8_t *data;
	size_t size;	      /* size of the data: a power of two */
	unsigned long pos;    /* up to this position we have read */
	unsigned long stored; /* what we have last read from *tail, or written to it */
	struct lbpf_feed feed;
	int cpu; /* the CPU, which is passed with each record; -1 if the source isn't for one CPU */
	int fd;	 /* readable when there is something to read */
};

struct lbpf_record {
	const uint8_t *data;
	/* Length; and how many bytes lie before the end of the data, while the rest is at its start */
	uint32_t len, first;
	unsigned long at; /* position of its header */
	uint64_t lost;	  /* not 0: this is no record, but the notice that so many records were lost */
	const char *why;  /* with `lost`: why; NULL: the buffer was full */
};

/* The kernel's position. Everything that the kernel writes is aligned to 8 bytes. */
static inline unsigned long lbpf_source_end(const struct lbpf_source *s)
{
	return atomic_load_explicit(s->head, memory_order_acquire) & ~7UL;
}

/* Whether the position in the shared page is the one that we stored, and what we haven't read fits into the data. */
static inline bool lbpf_source_holds(const struct lbpf_source *s, unsigned long end)
{
	return atomic_load_explicit(s->tail, memory_order_relaxed) == s->stored && end - s->pos <= s->size;
}

/* Called when lbpf_source_holds returns false. Continues from the position in the shared page. If no record can begin
 * there, continues from the kernel's position and makes *rec a notice of loss. Returns whether the position in the page
 * was valid. */
bool lbpf_source_meet(struct lbpf_source *s, struct lbpf_record *rec);

/* Called for a record that can't be valid: everything before `end` is lost. Makes *rec the notice of that, and returns
 * true. */
bool lbpf_source_garbled(struct lbpf_source *s, unsigned long end, struct lbpf_record *rec);

/* Stores our position for the kernel, unless another process has changed it; the next check then detects that. */
static inline void lbpf_source_store(struct lbpf_source *s)
{
	unsigned long there = s->stored;

	if (there == s->pos)
		return;
	s->stored = s->pos;
	atomic_compare_exchange_strong_explicit(s->tail, &there, s->pos, memory_order_release, memory_order_relaxed);
}

LBPF_HIDDEN_END

#endif
