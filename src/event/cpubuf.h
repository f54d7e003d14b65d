/* SPDX-License-Identifier: MIT */
/* The buffers of a perf buffer's reader: one for each CPU, a perf event with memory. */
#ifndef LBPF_EVENT_CPUBUF_H
#define LBPF_EVENT_CPUBUF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compat.h"
#include "event/reader.h"

LBPF_HIDDEN_BEGIN

struct lbpf_map;

struct lbpf_perfbuf_options {
	struct lbpf_reader_options reader;
	uint32_t pages, sample_period, wakeup_events;
	bool changes; /* the kernel tells of mappings, executions and forks, and no program sends records */
};

/* The CPUs to read. */
struct lbpf_cpus {
	const uint32_t *list;
	uint32_t count;
	bool given; /* otherwise all CPUs, of which those that are offline are skipped */
};

/* How a map was opened. */
struct lbpf_slots {
	int fd;
	/* Our file is also the handle's, or the map keeps the events after the file is closed. */
	bool shared;
};

struct lbpf_cpubuf {
	struct lbpf_source source;
	void *control;	  /* the page of positions, which the data follows */
	uint32_t process; /* the process that has it mapped; a child may have something else there */
	struct lbpf_slots slots;
	bool last; /* the last buffer of its map: closes the map's file */
};

/* The operation that failed, for the message; and the CPU, if it was for one. */
struct lbpf_cpubuf_failure {
	const char *what;
	uint32_t cpu;
};

/* Releases a buffer; `undo`: also empties its slot, where closing does not. */
void lbpf_cpubuf_release(struct lbpf_source *source, bool undo);

/* Opens the buffers of all the CPUs, or of none. Returns 0 or an errno. */
int lbpf_cpubufs_open(struct lbpf_reader *r, const struct lbpf_cpubuf *model, const struct lbpf_cpus *cpus,
		      const struct lbpf_perfbuf_options *options, struct lbpf_cpubuf_failure *failure);

/* Opens the map for the reader. After a failure its descriptor is -1, and errno is set. */
struct lbpf_slots lbpf_slots_open(const struct lbpf_map *map);

LBPF_HIDDEN_END

#endif
