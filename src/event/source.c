/* SPDX-License-Identifier: MIT */
/* What happens if a source's position is not the one that we stored. */
#include "event/source.h"

#define TRIES 16 /* attempts to read two positions that are changing */

static void tell_lost(const struct lbpf_source *s, struct lbpf_record *rec, const char *why)
{
	*rec = (struct lbpf_record){ .data = s->data, .at = s->pos, .lost = 1, .why = why };
}

/* The kernel never writes beyond the position in the page plus the size. So if that position was the same before and
 * after we read the kernel's, it was written by a reader, or it is invalid. */
bool lbpf_source_meet(struct lbpf_source *s, struct lbpf_record *rec)
{
	unsigned long tail, end;
	int tries = TRIES;

	do {
		tail = atomic_load_explicit(s->tail, memory_order_acquire);
		end = lbpf_source_end(s);
	} while (atomic_load_explicit(s->tail, memory_order_acquire) != tail && --tries);
	if (tail != s->stored || end - s->pos > s->size)
		s->pos = tail;
	s->stored = tail;
	if (tail % 8 == 0 && end - tail <= s->size)
		return true;
	s->pos = s->stored = end;
	atomic_store_explicit(s->tail, end, memory_order_release);
	tell_lost(s, rec, "no record begins at the position in the shared page; perhaps another reader wrote it");
	return false;
}

bool lbpf_source_garbled(struct lbpf_source *s, unsigned long end, struct lbpf_record *rec)
{
	s->pos = end;
	tell_lost(s, rec, "a record had a length that it cannot have; perhaps there is another reader");
	return true;
}
