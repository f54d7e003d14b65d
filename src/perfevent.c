/* SPDX-License-Identifier: MIT */
/* Perf events: opening them by name. */
#include "perfevent.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/perf_event.h>

#include <lauxlib.h>

#include "arg.h"
#include "descriptor.h"

static const struct lbpf_name types[] = {
	{ "hardware", PERF_TYPE_HARDWARE },
	{ "software", PERF_TYPE_SOFTWARE },
	{ "tracepoint", PERF_TYPE_TRACEPOINT },
	{ "hw_cache", PERF_TYPE_HW_CACHE },
	{ "raw", PERF_TYPE_RAW },
	{ "breakpoint", PERF_TYPE_BREAKPOINT },
	{ NULL, 0 },
};

static const struct lbpf_name hardware[] = {
	{ "cpu_cycles", PERF_COUNT_HW_CPU_CYCLES },
	{ "instructions", PERF_COUNT_HW_INSTRUCTIONS },
	{ "cache_references", PERF_COUNT_HW_CACHE_REFERENCES },
	{ "cache_misses", PERF_COUNT_HW_CACHE_MISSES },
	{ "branch_instructions", PERF_COUNT_HW_BRANCH_INSTRUCTIONS },
	{ "branch_misses", PERF_COUNT_HW_BRANCH_MISSES },
	{ "bus_cycles", PERF_COUNT_HW_BUS_CYCLES },
	{ "stalled_cycles_frontend", PERF_COUNT_HW_STALLED_CYCLES_FRONTEND },
	{ "stalled_cycles_backend", PERF_COUNT_HW_STALLED_CYCLES_BACKEND },
	{ "ref_cpu_cycles", PERF_COUNT_HW_REF_CPU_CYCLES },
	{ NULL, 0 },
};

static const struct lbpf_name software[] = {
	{ "cpu_clock", PERF_COUNT_SW_CPU_CLOCK },
	{ "task_clock", PERF_COUNT_SW_TASK_CLOCK },
	{ "page_faults", PERF_COUNT_SW_PAGE_FAULTS },
	{ "context_switches", PERF_COUNT_SW_CONTEXT_SWITCHES },
	{ "cpu_migrations", PERF_COUNT_SW_CPU_MIGRATIONS },
	{ "page_faults_min", PERF_COUNT_SW_PAGE_FAULTS_MIN },
	{ "page_faults_maj", PERF_COUNT_SW_PAGE_FAULTS_MAJ },
	{ "alignment_faults", PERF_COUNT_SW_ALIGNMENT_FAULTS },
	{ "emulation_faults", PERF_COUNT_SW_EMULATION_FAULTS },
	{ "dummy", PERF_COUNT_SW_DUMMY },
	{ "bpf_output", PERF_COUNT_SW_BPF_OUTPUT },
	{ "cgroup_switches", 11 },
	{ NULL, 0 },
};

struct event {
	uint64_t sample_freq, sample_period;
	int32_t pid, cpu;
};

#define FIELD(kind, name)                                            \
	{                                                            \
#name, LBPF_OPT_##kind, offsetof(struct event, name) \
	}

static const struct lbpf_option options[] = {
	{ "type", LBPF_OPT_OTHER, 0 },
	{ "config", LBPF_OPT_OTHER, 0 },
	FIELD(U64, sample_freq),
	FIELD(U64, sample_period),
	FIELD(S32, pid),
	FIELD(S32, cpu),
	{ NULL, LBPF_OPT_OTHER, 0 },
};

/* The number that field `name` of the table at idx gives, itself or by a name of the table. */
static uint64_t number_or_name(lua_State *L, int idx, const char *name, const struct lbpf_name *names)
{
	uint64_t value;

	lua_getfield(L, idx, name);
	if (lua_type(L, -1) == LUA_TNUMBER) {
		value = (uint64_t)lbpf_arg_field(L, "event", name, INT64_MIN, INT64_MAX);
	} else {
		const char *text = lua_tostring(L, -1);

		if (!text)
			lbpf_arg_error(L, "event: option '%s' must be a name or an integer, got %s", name,
				       luaL_typename(L, -1));
		if (!lbpf_arg_is_text(L, -1))
			luaL_error(L, "event: option '%s' has a NUL byte in it", name);
		if (!names || lbpf_name_value(names, text) < 0)
			lbpf_name_unknown(L, names ? names : types, name, text);
		value = (uint64_t)lbpf_name_value(names, text);
	}
	lua_pop(L, 1);
	return value;
}

/* Without a type, the counter's name tells. */
static void event_read_what(lua_State *L, int idx, struct perf_event_attr *attr)
{
	bool typed = lua_getfield(L, idx, "type") != LUA_TNIL, named = lua_getfield(L, idx, "config") == LUA_TSTRING;
	const char *config = named ? lua_tostring(L, -1) : NULL;

	if (!typed && !named)
		luaL_error(L, "event: option 'config' must be a counter's name where 'type' is left out");
	if (typed)
		attr->type = (uint32_t)number_or_name(L, idx, "type", types);
	else
		attr->type = lbpf_name_value(hardware, config) >= 0 ? PERF_TYPE_HARDWARE : PERF_TYPE_SOFTWARE;
	lua_pop(L, 2);
	attr->config = number_or_name(L, idx, "config",
				      attr->type == PERF_TYPE_HARDWARE		 ? hardware
					      : attr->type == PERF_TYPE_SOFTWARE ? software
										 : NULL);
}

int lbpf_perfevent_open(lua_State *L, int idx, int *fd)
{
	struct event event = { .pid = -1, .cpu = -1 };
	struct perf_event_attr attr;
	int *own, err;

	memset(&attr, 0, sizeof(attr));
	attr.size = sizeof(attr);
	lbpf_arg_options(L, idx, options, &event, "event");
	event_read_what(L, idx, &attr);
	if (event.sample_freq && event.sample_period)
		luaL_error(L, "event: give sample_freq or sample_period, not both");
	if (event.pid < 0 && event.cpu < 0)
		luaL_error(L, "event: give pid or cpu, or both: all processes on all CPUs is one event for each CPU");
	attr.freq = event.sample_freq != 0;
	attr.sample_period = event.sample_freq ? event.sample_freq : event.sample_period;
	own = lbpf_descriptor_push(L);
	*own = (int)syscall(SYS_perf_event_open, &attr, event.pid, event.cpu, -1, PERF_FLAG_FD_CLOEXEC);
	*fd = *own;
	if (*fd >= 0)
		return 0;
	err = errno;
	if (err == ENOENT || err == EOPNOTSUPP)
		lua_pushliteral(L, "this machine has no such counter");
	else if (err == EACCES || err == EPERM)
		lua_pushliteral(L, "refused; perhaps CAP_PERFMON is missing");
	else
		lua_pushnil(L);
	return err;
}
