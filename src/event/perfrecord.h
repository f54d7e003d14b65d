/* SPDX-License-Identifier: MIT */
/* Records in a perf event's memory. */
#ifndef LBPF_EVENT_PERFRECORD_H
#define LBPF_EVENT_PERFRECORD_H

#include <stdbool.h>

#include "base/compat.h"
#include "event/source.h"

LBPF_HIDDEN_BEGIN

/* Takes the next record, or the news of lost ones, out of a CPU's buffer: what a kind of reader has as `take`. */
bool lbpf_perfrecord_take(struct lbpf_source *s, unsigned long end, struct lbpf_record *rec);

LBPF_HIDDEN_END

#endif
