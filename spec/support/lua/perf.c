/* SPDX-License-Identifier: MIT */
/* Perf events for specs: `perf.open { type = , config = , sample_type = , pid = , cpu = , pages = }` gives an object
 * with `getfd`, `close`, `enable`, `disable`, `count` (its value, the times it was enabled and running), `samples` (raw
 * data that arrived since the last call, a sequence of strings, and how many were lost) and `wait(ms)`. With `pages` (a
 * power of two) it has memory for samples. The constants are the kernel's names without their prefixes. */
#include <errno.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>

#define CLASS "support.perf"

int luaopen_support_perf(lua_State *L);

struct perf {
	int fd;
	char *base; /* a page of control data and the ring's; NULL without */
	size_t page, size;
};

static struct perf *check(lua_State *L)
{
	struct perf *p = luaL_checkudata(L, 1, CLASS);

	if (p->fd < 0)
		luaL_error(L, "the event is closed");
	return p;
}

static lua_Integer option(lua_State *L, const char *name, lua_Integer preset)
{
	lua_Integer value;

	lua_getfield(L, 1, name);
	value = luaL_optinteger(L, -1, preset);
	lua_pop(L, 1);
	return value;
}

static int failure(lua_State *L, const char *what)
{
	return luaL_error(L, "%s: %s", what, strerror(errno));
}

static int perf_open(lua_State *L)
{
	struct perf_event_attr attr = { .size = sizeof(attr), .wakeup_events = 1 };
	lua_Integer pages;
	struct perf *p;

	luaL_checktype(L, 1, LUA_TTABLE);
	attr.type = (__u32)option(L, "type", PERF_TYPE_SOFTWARE);
	attr.config = (__u64)option(L, "config", PERF_COUNT_SW_BPF_OUTPUT);
	attr.sample_type = (__u64)option(L, "sample_type", PERF_SAMPLE_RAW);
	attr.sample_period = (__u64)option(L, "sample_period", 0);
	attr.disabled = option(L, "disabled", 0) != 0;
	attr.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING;
	pages = option(L, "pages", 0);
	p = lua_newuserdatauv(L, sizeof(*p), 0);
	*p = (struct perf){ .fd = -1, .page = (size_t)sysconf(_SC_PAGESIZE) };
	luaL_setmetatable(L, CLASS);
	p->fd = (int)syscall(SYS_perf_event_open, &attr, (pid_t)option(L, "pid", -1), (int)option(L, "cpu", -1), -1,
			     PERF_FLAG_FD_CLOEXEC);
	if (p->fd < 0)
		return failure(L, "perf_event_open");
	if (pages) {
		void *base;

		p->size = (size_t)(1 + pages) * p->page;
		base = mmap(NULL, p->size, PROT_READ | PROT_WRITE, MAP_SHARED, p->fd, 0);
		if (base == MAP_FAILED)
			return failure(L, "mmap");
		p->base = base;
	}
	return 1;
}

static int perf_close(lua_State *L)
{
	struct perf *p = luaL_checkudata(L, 1, CLASS);

	if (p->base)
		munmap(p->base, p->size);
	if (p->fd >= 0)
		close(p->fd);
	p->base = NULL;
	p->fd = -1;
	return 0;
}

static int perf_getfd(lua_State *L)
{
	lua_pushinteger(L, check(L)->fd);
	return 1;
}

static int perf_enable(lua_State *L)
{
	return ioctl(check(L)->fd, PERF_EVENT_IOC_ENABLE, 0) ? failure(L, "enable") : 0;
}

static int perf_disable(lua_State *L)
{
	return ioctl(check(L)->fd, PERF_EVENT_IOC_DISABLE, 0) ? failure(L, "disable") : 0;
}

static int perf_count(lua_State *L)
{
	__u64 values[3];

	if (read(check(L)->fd, values, sizeof(values)) != sizeof(values))
		return failure(L, "read");
	for (int i = 0; i < 3; i++)
		lua_pushinteger(L, (lua_Integer)values[i]);
	return 3;
}

/* Copies out of the ring, which goes round. */
static void ring_copy(const struct perf *p, __u64 at, void *to, size_t len)
{
	size_t room = p->size - p->page;

	for (size_t i = 0; i < len; i++)
		((char *)to)[i] = p->base[p->page + (at + i) % room];
}

/* Appends the data of a sample to the sequence at the top. */
static void push_sample(lua_State *L, const struct perf *p, __u64 at)
{
	luaL_Buffer b;
	__u32 len;

	ring_copy(p, at + sizeof(struct perf_event_header), &len, sizeof(len));
	ring_copy(p, at + sizeof(struct perf_event_header) + sizeof(len), luaL_buffinitsize(L, &b, len), len);
	luaL_pushresultsize(&b, len);
	lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

static int perf_samples(lua_State *L)
{
	struct perf *p = check(L);
	struct perf_event_mmap_page *control = (void *)p->base;
	lua_Integer lost = 0;
	__u64 head, at;

	if (!control)
		return luaL_error(L, "the event was opened without pages");
	head = __atomic_load_n(&control->data_head, __ATOMIC_ACQUIRE);
	lua_newtable(L);
	for (at = control->data_tail; at < head;) {
		struct perf_event_header header;
		__u64 n;

		ring_copy(p, at, &header, sizeof(header));
		if (header.type == PERF_RECORD_SAMPLE) {
			push_sample(L, p, at);
		} else if (header.type == PERF_RECORD_LOST) {
			ring_copy(p, at + sizeof(header) + sizeof(n), &n, sizeof(n));
			lost += (lua_Integer)n;
		}
		at += header.size;
	}
	__atomic_store_n(&control->data_tail, head, __ATOMIC_RELEASE);
	lua_pushinteger(L, lost);
	return 2;
}

static int perf_wait(lua_State *L)
{
	struct pollfd fd = { .fd = check(L)->fd, .events = POLLIN };

	lua_pushboolean(L, poll(&fd, 1, (int)luaL_checkinteger(L, 2)) == 1 && fd.revents & POLLIN);
	return 1;
}

static const luaL_Reg methods[] = {
	{ "close", perf_close },   { "getfd", perf_getfd },
	{ "enable", perf_enable }, { "disable", perf_disable },
	{ "count", perf_count },   { "samples", perf_samples },
	{ "wait", perf_wait },	   { "__close", perf_close },
	{ "__gc", perf_close },	   { NULL, NULL },
};

static const struct {
	const char *name;
	lua_Integer value;
} constants[] = {
	{ "TYPE_SOFTWARE", PERF_TYPE_SOFTWARE },
	{ "TYPE_HARDWARE", PERF_TYPE_HARDWARE },
	{ "COUNT_SW_BPF_OUTPUT", PERF_COUNT_SW_BPF_OUTPUT },
	{ "COUNT_SW_CPU_CLOCK", PERF_COUNT_SW_CPU_CLOCK },
	{ "COUNT_SW_TASK_CLOCK", PERF_COUNT_SW_TASK_CLOCK },
	{ "COUNT_SW_PAGE_FAULTS", PERF_COUNT_SW_PAGE_FAULTS },
	{ "COUNT_SW_DUMMY", PERF_COUNT_SW_DUMMY },
	{ "SAMPLE_RAW", PERF_SAMPLE_RAW },
};

int luaopen_support_perf(lua_State *L)
{
	luaL_newmetatable(L, CLASS);
	luaL_setfuncs(L, methods, 0);
	lua_pushvalue(L, -1);
	lua_setfield(L, -2, "__index");
	lua_newtable(L);
	for (size_t i = 0; i < sizeof(constants) / sizeof(*constants); i++) {
		lua_pushinteger(L, constants[i].value);
		lua_setfield(L, -2, constants[i].name);
	}
	lua_pushcfunction(L, perf_open);
	lua_setfield(L, -2, "open");
	return 1;
}
