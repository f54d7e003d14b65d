/* SPDX-License-Identifier: MIT */
/* Perf events: reading by name which one is meant, and opening it. */
#ifndef LBPF_PROGRAM_PERFEVENT_H
#define LBPF_PROGRAM_PERFEVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/perf_event.h>

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

struct lbpf_event {
	struct perf_event_attr attr;
	int32_t pid, tid, cpu; /* -1: not given. One of pid and tid, of pid and cpu, at least */
	bool inherit;	       /* processes that are started from then on, too */
};

/* Reads the table at idx and pushes the event's memory. Raises where the table makes no sense. */
struct lbpf_event *lbpf_perfevent_read(lua_State *L, int idx);

/* Opens the event of a thread, -1 for all. Returns the descriptor, or -1 and errno. */
int lbpf_perfevent_open(const struct lbpf_event *event, int32_t tid);

/* The same for a thread of a process that is watched as a whole, with the threads that it starts. */
int lbpf_perfevent_open_thread(const struct lbpf_event *event, int32_t tid);

/* The threads of a process, 0 for this one, in memory to be freed. Returns 0 or an errno. */
int lbpf_perfevent_threads(int32_t pid, int32_t **tids, size_t *count);

/* Pushes or returns why an event can't be opened, or NULL. */
const char *lbpf_perfevent_cause(lua_State *L, const struct lbpf_event *event, int err);

LBPF_HIDDEN_END

#endif
