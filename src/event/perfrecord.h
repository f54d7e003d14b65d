/* SPDX-License-Identifier: MIT */
/* Records in a perf event's memory. */
#ifndef LBPF_EVENT_PERFRECORD_H
#define LBPF_EVENT_PERFRECORD_H

#include <stdbool.h>

#include "base/compat.h"
#include "event/source.h"

LBPF_HIDDEN_BEGIN

/* Takes the next record, or the notice of lost ones, from a CPU's buffer. This is `take` of the kind of reader. */
bool lbpf_perfrecord_take(struct lbpf_source *s, unsigned long end, struct lbpf_record *rec);

/* The same for records that are no samples, with their headers. */
bool lbpf_perfrecord_take_whole(struct lbpf_source *s, unsigned long end, struct lbpf_record *rec);

LBPF_HIDDEN_END

#endif
