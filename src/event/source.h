/* SPDX-License-Identifier: MIT */
/* Sources of records: memory that the kernel fills, and the two positions in it.
 *
 * Our position lies in a page that other processes and other readers can map and write, so it is read anew before each
 * record. What is read of shared memory is read once, and held against what can be there before it is used. */
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

/* What becomes of a map's records. */
struct lbpf_feed {
	const struct lbpf_type *type;
	lua_Integer refs; /* where in the reader's table of references its own are */
	bool unpack, into;
};

/* First member of a kind's own struct. */
struct lbpf_source {
	_Atomic unsigned long *head, *tail; /* how far the kernel has written, and how far it may write again */
	const uint8_t *data;
	size_t size;	      /* of the data: a power of two */
	unsigned long pos;    /* up to here we have read */
	unsigned long stored; /* what we have last found in, or written to, *tail */
	struct lbpf_feed feed;
	int cpu; /* handed over with each record; -1: the source isn't one CPU's */
	int fd;	 /* tells when there is something to read */
};

struct lbpf_record {
	const uint8_t *data;
	uint32_t len, first; /* bytes, and how many of them lie before the end of the data: the rest is at its start */
	unsigned long at;    /* position of its header */
	uint64_t lost;	     /* not 0: no record, but the news that so many were lost */
	const char *why;     /* they were lost; NULL: there was no room. Set with `lost` */
};

/* How far the kernel has written. All that it writes is aligned to 8 bytes. */
static inline unsigned long lbpf_source_end(const struct lbpf_source *s)
{
	return atomic_load_explicit(s->head, memory_order_acquire) & ~7UL;
}

/* Whether nobody else has moved the position in the shared page, and what we haven't read fits into the data. */
static inline bool lbpf_source_holds(const struct lbpf_source *s, unsigned long end)
{
	return atomic_load_explicit(s->tail, memory_order_relaxed) == s->stored && end - s->pos <= s->size;
}

/* When that isn't so: goes on from the position that is in the shared page. Where no record can begin there, goes on
 * from the kernel's, and makes *rec the news of it. Returns whether the page was to be believed. */
bool lbpf_source_meet(struct lbpf_source *s, struct lbpf_record *rec);

/* A record that can't be one: what lies before `end` is lost. Returns true: *rec is the news of it. */
bool lbpf_source_garbled(struct lbpf_source *s, unsigned long end, struct lbpf_record *rec);

/* Tells the kernel how far we have read, unless somebody else has told it something, which the next look meets. */
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
