/* SPDX-License-Identifier: MIT */
/* Perf events: reading from a table which one is meant, and opening it. */
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
	/* -1: not given. At most one of pid and tid is given, and at least one of pid, tid and cpu. */
	int32_t pid, tid, cpu;
	bool online;  /* on each CPU that is online, in place of the three */
	bool inherit; /* also count in processes that are started from then on */
};

/* Reads the table at idx and pushes a userdata that holds the event. Raises if the table is invalid. */
struct lbpf_event *lbpf_perfevent_read(lua_State *L, int idx);

/* Opens the event for a thread; -1: for all threads. Returns the descriptor, or -1 with errno set. */
int lbpf_perfevent_open(const struct lbpf_event *event, int32_t tid);

/* Opens the event for all threads on one CPU, in the same way. */
int lbpf_perfevent_open_cpu(const struct lbpf_event *event, uint32_t cpu);

/* Like lbpf_perfevent_open, for a thread of a process of which all threads are watched, also those that start later. */
int lbpf_perfevent_open_thread(const struct lbpf_event *event, int32_t tid);

/* Stores the threads of a process (0: this one), in memory that the caller frees. Returns 0 or an errno. */
int lbpf_perfevent_threads(int32_t pid, int32_t **tids, size_t *count);

/* Pushes or returns why an event can't be opened, or returns NULL. */
const char *lbpf_perfevent_cause(lua_State *L, const struct lbpf_event *event, int err);

LBPF_HIDDEN_END

#endif
