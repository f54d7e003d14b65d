/* SPDX-License-Identifier: MIT */
#include "program/perfevent.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include <lauxlib.h>

#include "base/arg.h"
#include "base/cause.h"
#include "base/cpuset.h"

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

static const struct lbpf_option options[] = {
	{ "type", LBPF_OPT_OTHER, 0 },
	{ "config", LBPF_OPT_OTHER, 0 },
	{ "sample_freq", LBPF_OPT_OTHER, 0 },
	{ "sample_period", LBPF_OPT_OTHER, 0 },
	LBPF_OPTION(S32, struct lbpf_event, pid),
	LBPF_OPTION(S32, struct lbpf_event, tid),
	{ "cpu", LBPF_OPT_OTHER, 0 },
	LBPF_OPTION(BOOL, struct lbpf_event, inherit),
	{ NULL, LBPF_OPT_OTHER, 0 },
};

/* The number in field `name` of the table at idx: an integer, or a name from the list. */
static uint64_t number_or_name(lua_State *L, int idx, const char *name, const struct lbpf_name *names)
{
	uint64_t value;

	lua_getfield(L, idx, name);
	if (lua_type(L, -1) == LUA_TNUMBER) {
		value = (uint64_t)lbpf_arg_field(L, "event", name, INT64_MIN, INT64_MAX);
	} else {
		const char *text = lua_tostring(L, -1);

		if (!text)
			luaL_error(L, "event: option '%s' must be a name or an integer, got %s", name,
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

/* If no type is given, the counter's name determines it. */
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

/* Sampling period or frequency. The kernel reads it as a signed number. 0 without the option. */
static uint64_t read_rate(lua_State *L, int idx, const char *name)
{
	int is_int;
	lua_Integer value;

	if (lua_getfield(L, idx, name) == LUA_TNIL) {
		lua_pop(L, 1);
		return 0;
	}
	value = lua_tointegerx(L, -1, &is_int);
	if (!is_int || lua_type(L, -1) != LUA_TNUMBER || value < 0)
		luaL_error(L, "event: option '%s' must be an integer from 0 on, got %s", name, lbpf_arg_show(L, -1));
	lua_pop(L, 1);
	return (uint64_t)value;
}

static void check_number(lua_State *L, const char *name, int32_t value)
{
	if (value < -1)
		luaL_error(L, "event: option '%s' must be an integer from -1 to 2147483647, got %d", name, (int)value);
}

/* Reads option `cpu`: a number, or "online". */
static void read_cpu(lua_State *L, int idx, struct lbpf_event *event)
{
	int type = lua_getfield(L, idx, "cpu");

	if (type == LUA_TNUMBER) {
		event->cpu = (int32_t)lbpf_arg_field(L, "event", "cpu", -1, INT32_MAX);
	} else if (type != LUA_TNIL) {
		if (type != LUA_TSTRING || strcmp(lua_tostring(L, -1), "online") != 0)
			luaL_error(L, "event: option 'cpu' must be a CPU's number or \"online\", got %s",
				   lbpf_arg_show(L, -1));
		event->online = true;
	}
	lua_pop(L, 1);
}

/* Which processes and CPUs the event is of. */
static void event_read_where(lua_State *L, int idx, struct lbpf_event *event)
{
	check_number(L, "pid", event->pid);
	check_number(L, "tid", event->tid);
	read_cpu(L, idx, event);
	if (event->pid >= 0 && event->tid >= 0)
		luaL_error(L, "event: give pid or tid, not both: a process or one thread");
	if (event->online && (event->pid >= 0 || event->tid >= 0))
		luaL_error(L,
			   "event: cpu = \"online\" watches all processes; pid and tid do so on all CPUs without it");
	if (event->pid < 0 && event->tid < 0 && event->cpu < 0 && !event->online)
		luaL_error(L, "event: give pid or cpu, or both; cpu = \"online\" is all processes on all CPUs");
}

struct lbpf_event *lbpf_perfevent_read(lua_State *L, int idx)
{
	struct lbpf_event *event = lua_newuserdatauv(L, sizeof(*event), 0);
	struct perf_event_attr *attr = &event->attr;
	uint64_t freq, period;

	memset(event, 0, sizeof(*event));
	event->pid = event->tid = event->cpu = -1;
	attr->size = sizeof(*attr);
	lbpf_arg_options(L, idx, options, event, "event");
	event_read_what(L, idx, attr);
	freq = read_rate(L, idx, "sample_freq");
	period = read_rate(L, idx, "sample_period");
	if (freq && period)
		luaL_error(L, "event: give sample_freq or sample_period, not both");
	event_read_where(L, idx, event);
	attr->freq = freq != 0;
	attr->sample_period = freq ? freq : period;
	return event;
}

static int event_open(const struct perf_event_attr *attr, int32_t tid, int32_t cpu)
{
	return (int)syscall(SYS_perf_event_open, attr, tid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
}

int lbpf_perfevent_open(const struct lbpf_event *event, int32_t tid)
{
	struct perf_event_attr attr = event->attr;

	attr.inherit = event->inherit && tid >= 0;
	return event_open(&attr, tid, event->cpu);
}

int lbpf_perfevent_open_cpu(const struct lbpf_event *event, uint32_t cpu)
{
	return event_open(&event->attr, -1, (int32_t)cpu);
}

/* Kernels before 5.13 can't distinguish threads from processes there. */
int lbpf_perfevent_open_thread(const struct lbpf_event *event, int32_t tid)
{
	struct perf_event_attr attr = event->attr;
	int fd;

	attr.inherit = 1;
	attr.inherit_thread = !event->inherit;
	fd = event_open(&attr, tid, event->cpu);
	if (fd >= 0 || errno != EINVAL || !attr.inherit_thread)
		return fd;
	attr.inherit_thread = 0;
	return event_open(&attr, tid, event->cpu);
}

/* ---- threads ---- */

static int read_threads(DIR *dir, int32_t **tids, size_t *count)
{
	size_t room = 0;
	struct dirent *entry;

	while (errno = 0, (entry = readdir(dir))) {
		long tid = strtol(entry->d_name, NULL, 10);

		if (tid <= 0 || tid > INT32_MAX)
			continue;
		if (*count == room) {
			int32_t *more;

			room = room ? 2 * room : 64;
			more = realloc(*tids, room * sizeof(**tids));
			if (!more)
				return ENOMEM;
			*tids = more;
		}
		(*tids)[(*count)++] = (int32_t)tid;
	}
	return errno ? errno : *count ? 0 : ESRCH;
}

int lbpf_perfevent_threads(int32_t pid, int32_t **tids, size_t *count)
{
	char path[32];
	DIR *dir;
	int err;

	*tids = NULL;
	*count = 0;
	snprintf(path, sizeof(path), pid ? "/proc/%d/task" : "/proc/self/task", (int)pid);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT && access("/proc/self", F_OK) == 0 ? ESRCH : errno;
	err = read_threads(dir, tids, count);
	closedir(dir);
	return err;
}

/* ---- why not ---- */

/* The maximum number of samples per second that the kernel allows; 0 if it isn't known. */
static uint64_t highest_rate(void)
{
	FILE *file = fopen("/proc/sys/kernel/perf_event_max_sample_rate", "re");
	char line[32] = "";

	if (!file)
		return 0;
	if (!fgets(line, sizeof(line), file))
		line[0] = '\0';
	fclose(file);
	return strtoull(line, NULL, 10);
}

/* Pushes or returns which option this machine does not support. */
static const char *out_of_range(lua_State *L, const struct lbpf_event *event)
{
	int cpus = libbpf_num_possible_cpus();
	uint64_t rate = event->attr.freq ? highest_rate() : 0;

	if (cpus > 0 && event->cpu >= cpus)
		return lua_pushfstring(L, "option 'cpu' must be from 0 to %d here, got %d", cpus - 1, event->cpu);
	if (rate && event->attr.sample_freq > rate)
		return lua_pushfstring(L,
				       "option 'sample_freq' must be at most %I here "
				       "(kernel.perf_event_max_sample_rate), got %I",
				       (LUAI_UACINT)rate, (LUAI_UACINT)event->attr.sample_freq);
	return NULL;
}

const char *lbpf_perfevent_cause(lua_State *L, const struct lbpf_event *event, int err)
{
	switch (err) {
	case EINVAL:
		return out_of_range(L, event);
	case ENODEV:
		if (event->online)
			return "none of the CPUs that were online is there any more";
		return out_of_range(L, event) ? lua_tostring(L, -1)
					      : lua_pushfstring(L, "CPU %d isn't there, or offline", event->cpu);
	case ESRCH:
		return "there is no such process";
	case ENOENT:
		if (event->online && lbpf_no_sys())
			return lbpf_no_sys();
		if (event->pid >= 0 && access("/proc/self", F_OK))
			return "without /proc nobody says which threads a process has; option 'tid' names one";
		return "this machine has no such counter";
	case EOPNOTSUPP:
		return "this machine has no such counter";
	case EACCES:
	case EPERM:
		return lbpf_refused(L, "CAP_PERFMON");
	default:
		return NULL;
	}
}
