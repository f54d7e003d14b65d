/* SPDX-License-Identifier: MIT */
/* Records in a perf event's memory. It can't be mapped twice in a row, so a record may end at the start of the
 * memory. */
#include "event/perfrecord.h"

#include <string.h>

#include <linux/perf_event.h>

/* The word at a position. Everything that the kernel writes is aligned to two words. Read only once, because it may
 * change. */
static uint32_t word(const struct lbpf_source *s, unsigned long pos)
{
	const void *at = s->data + (pos & (s->size - 1));

	return atomic_load_explicit((const _Atomic uint32_t *)at, memory_order_relaxed);
}

/* The 64-bit number there. */
static uint64_t number(const struct lbpf_source *s, unsigned long pos)
{
	uint64_t n;

	memcpy(&n, s->data + (pos & (s->size - 1)), sizeof(n));
	return n;
}

static void take_sample(const struct lbpf_source *s, uint32_t room, struct lbpf_record *rec)
{
	size_t offset = (rec->at + sizeof(struct perf_event_header) + sizeof(uint32_t)) & (s->size - 1);

	rec->len = word(s, rec->at + sizeof(struct perf_event_header));
	if (rec->len > room - sizeof(uint32_t))
		rec->len = room - (uint32_t)sizeof(uint32_t);
	rec->data = s->data + offset;
	rec->first = rec->len <= s->size - offset ? rec->len : (uint32_t)(s->size - offset);
	rec->lost = 0;
}

/* All of a record, with its header. */
static void take_whole(const struct lbpf_source *s, uint32_t size, struct lbpf_record *rec)
{
	size_t offset = rec->at & (s->size - 1);

	rec->len = size;
	rec->data = s->data + offset;
	rec->first = size <= s->size - offset ? size : (uint32_t)(s->size - offset);
	rec->lost = 0;
}

/* The header at a position. */
static struct perf_event_header header_at(const struct lbpf_source *s, unsigned long pos)
{
	uint32_t words[2] = { word(s, pos), word(s, pos + sizeof(uint32_t)) };
	struct perf_event_header header;

	_Static_assert(sizeof(header) == sizeof(words), "a header is two words");
	memcpy(&header, words, sizeof(header));
	return header;
}

/* The shortest records that the kernel writes: of each kind, a header and a word; for losses, a header, an id and the
 * number of lost records. `whole`: records of every other kind are taken, and samples aren't. */
static bool take(struct lbpf_source *s, unsigned long end, struct lbpf_record *rec, bool whole)
{
	while ((long)(end - s->pos) > 0) {
		struct perf_event_header header = header_at(s, s->pos);

		if (lbpf_unlikely(header.size < sizeof(header) + sizeof(uint32_t) || header.size % 8 ||
				  header.size > end - s->pos))
			return lbpf_source_garbled(s, end, rec);
		rec->at = s->pos;
		s->pos += header.size;
		if (lbpf_likely(header.type == PERF_RECORD_SAMPLE && !whole)) {
			take_sample(s, header.size - (uint32_t)sizeof(header), rec);
			return true;
		}
		if (header.type != PERF_RECORD_LOST) {
			if (!whole)
				continue;
			take_whole(s, header.size, rec);
			return true;
		}
		if (header.size < sizeof(header) + 2 * sizeof(uint64_t))
			return lbpf_source_garbled(s, end, rec);
		rec->data = s->data;
		rec->len = rec->first = 0;
		rec->lost = number(s, rec->at + sizeof(header) + sizeof(uint64_t));
		rec->why = NULL;
		if (rec->lost)
			return true;
	}
	return false;
}

bool lbpf_perfrecord_take(struct lbpf_source *s, unsigned long end, struct lbpf_record *rec)
{
	return take(s, end, rec, false);
}

bool lbpf_perfrecord_take_whole(struct lbpf_source *s, unsigned long end, struct lbpf_record *rec)
{
	return take(s, end, rec, true);
}
