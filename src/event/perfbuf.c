/* SPDX-License-Identifier: MIT */
/* Readers of perf buffers, whose memory is in cpubuf.c. */
#include "event/perfbuf.h"

#include <errno.h>
#include <unistd.h>

#include <linux/bpf.h>

#include "base/cause.h"
#include "base/err.h"
#include "event/cpubuf.h"
#include "event/perfrecord.h"
#include "event/reader.h"
#include "map/map.h"

#define PAGES 64	    /* pages for each CPU, if the script doesn't say */
#define PAGES_MAX (1 << 18) /* 1 GiB of pages of 4 KiB */

static const struct lbpf_class reader_class;

/* ---- adding maps ---- */

static const struct lbpf_option perf_options[] = {
	LBPF_READER_OPTIONS,
	{ "cpus", LBPF_OPT_OTHER, 0 },
	{ "pages", LBPF_OPT_U32, offsetof(struct lbpf_perfbuf_options, pages) },
	{ "sample_period", LBPF_OPT_U32, offsetof(struct lbpf_perfbuf_options, sample_period) },
	{ "wakeup_events", LBPF_OPT_U32, offsetof(struct lbpf_perfbuf_options, wakeup_events) },
	{ NULL, LBPF_OPT_OTHER, 0 },
};

static uint32_t cpu_at(lua_State *L, int idx, lua_Integer i)
{
	lua_Integer cpu;
	int is_int;

	lua_rawgeti(L, -1, i);
	cpu = lua_tointegerx(L, -1, &is_int);
	if (lua_type(L, -1) != LUA_TNUMBER || !is_int || cpu < 0 || cpu > INT32_MAX)
		luaL_argerror(L, idx, "'cpus' takes a sequence of CPU numbers");
	lua_pop(L, 1);
	return (uint32_t)cpu;
}

/* Pushes a value that keeps the list, and returns the list. idx is the index of the options. */
static struct lbpf_cpus push_cpus(lua_State *L, int idx, const struct lbpf_map *map, uint32_t possible)
{
	uint32_t *list;
	struct lbpf_cpus cpus = { .count = possible < map->max_entries ? possible : map->max_entries };
	lua_Unsigned given;

	lua_pushnil(L);
	if (lua_istable(L, idx)) {
		lua_pop(L, 1);
		cpus.given = lua_getfield(L, idx, "cpus") != LUA_TNIL;
	}
	luaL_argcheck(L, !cpus.given || lua_istable(L, -1), idx, "'cpus' takes a sequence of CPU numbers");
	if (cpus.given) {
		given = lua_rawlen(L, -1);
		luaL_argcheck(L, given > 0 && given <= possible, idx, "'cpus' takes one CPU or more, each once");
		cpus.count = (uint32_t)given;
	}
	list = lua_newuserdatauv(L, (cpus.count + 1) * sizeof(*list), 0);
	lua_insert(L, -2);
	for (uint32_t i = 0; i < cpus.count; i++) {
		list[i] = cpus.given ? cpu_at(L, idx, (lua_Integer)i + 1) : i;
		for (uint32_t k = 0; cpus.given && k < i; k++)
			luaL_argcheck(L, list[k] != list[i], idx, "'cpus' takes one CPU or more, each once");
	}
	lua_pop(L, 1);
	cpus.list = list;
	return cpus;
}

static int perf_fail(lua_State *L, const struct lbpf_map *map, int err, const struct lbpf_cpubuf_failure *failure)
{
	const char *cause = NULL;

	if (err == ENODEV || (err == EINVAL && failure->what[0] == 'p'))
		cause = "there is no such CPU, or it is offline";
	else if (err == E2BIG)
		cause = lua_pushfstring(L, "the map has no slot for it, the last one is %I",
					(LUAI_UACINT)map->max_entries - 1);
	else if (err == EPERM && failure->what[0] == 'm')
		cause = "refused; perhaps more pages than kernel.perf_event_mlock_kb allows, or CAP_IPC_LOCK is "
			"missing";
	else if (err == EPERM || err == EACCES)
		cause = lua_pushfstring(L, "%s; see kernel.perf_event_paranoid", lbpf_refused(L, "CAP_PERFMON"));
	return lbpf_err_push(L, err, cause, "map '%s': perfbuf: CPU %I: %s", lbpf_map_label(map),
			     (LUAI_UACINT)failure->cpu, failure->what);
}

static void check_options(lua_State *L, int idx, struct lbpf_perfbuf_options *options)
{
	uint32_t pages = options->pages;

	luaL_argcheck(L, pages > 0 && pages <= PAGES_MAX && (pages & (pages - 1)) == 0, idx,
		      "'pages' takes a power of two");
	if (options->sample_period == 0)
		options->sample_period = 1;
}

/* Adds the map that the arguments from `first` on (map, type, handler, options) describe to the reader at idx. Returns
 * 0, or the number of values that were pushed for a failure. */
static int add_map(lua_State *L, int idx, struct lbpf_reader *r, int first, bool changes)
{
	struct lbpf_map *map = lbpf_map_check(L, first, 0, "perfbuf");
	struct lbpf_perfbuf_options options = { .pages = PAGES, .changes = changes };
	struct lbpf_cpubuf_failure failure;
	struct lbpf_cpubuf model = { .source.fd = -1 };
	struct lbpf_cpus cpus;
	int err, possible;

	luaL_argcheck(L, map->type == BPF_MAP_TYPE_PERF_EVENT_ARRAY, first, "a map of type perf_event_array expected");
	luaL_argexpected(L, lua_isnoneornil(L, first + 2) || lua_isfunction(L, first + 2), first + 2, "function");
	lbpf_arg_options(L, first + 3, perf_options, &options, "perfbuf");
	check_options(L, first + 3, &options);
	possible = lbpf_possible_cpus(L);
	if (possible < 0)
		return lbpf_possible_cpus_fail(L, possible, "perfbuf");
	cpus = push_cpus(L, first + 3, map, (uint32_t)possible);
	model.source.feed = lbpf_reader_feed(L, idx, first, &options.reader);
	model.source.size = options.pages * (size_t)sysconf(_SC_PAGESIZE);
	lbpf_reader_reserve(L, idx, r, cpus.count);
	lbpf_reader_recheck(L, r);
	lbpf_map_check(L, first, 0, "perfbuf"); /* a finalizer may have closed it */
	model.slots = lbpf_slots_open(map);
	failure = (struct lbpf_cpubuf_failure){ "open", cpus.list[0] };
	err = model.slots.fd < 0 ? errno : lbpf_cpubufs_open(r, &model, &cpus, &options, &failure);
	if (!err) {
		lua_pop(L, 1);
		return 0;
	}
	lbpf_reader_unfeed(L, idx, &model.source.feed);
	return perf_fail(L, map, err, &failure);
}

static int reader_add_map(lua_State *L, int idx, struct lbpf_reader *r, int first)
{
	return add_map(L, idx, r, first, false);
}

static int reader_add_changes(lua_State *L, int idx, struct lbpf_reader *r, int first)
{
	return add_map(L, idx, r, first, true);
}

static const struct lbpf_reader_kind perf_kind = {
	.cls = &reader_class,
	.name = "perfbuf",
	.what = "perf buffer",
	.unshared = true,
	.source_size = sizeof(struct lbpf_cpubuf),
	.once = true,
	.take = lbpf_perfrecord_take,
	.release = lbpf_cpubuf_release,
	.add = reader_add_map,
};

static const struct lbpf_reader_kind changes_kind = {
	.cls = &reader_class,
	.name = "changes",
	.what = "perf buffer",
	.unshared = true,
	.source_size = sizeof(struct lbpf_cpubuf),
	.once = true,
	.take = lbpf_perfrecord_take_whole,
	.release = lbpf_cpubuf_release,
	.add = reader_add_changes,
};

/*** Opens a reader of a perf buffer: a map of type perf_event_array that programs send records to by
`bpf_perf_event_output` with `BPF_F_CURRENT_CPU`.

- Order: each CPU has memory of its own. The records of one CPU are in order; between CPUs there is no order.
- One reader: a map has one reader. The next reader takes the map's slots over.
- CPUs: a CPU that comes online later is not read.
- Sizes: the kernel extends a record to 4 bytes short of a multiple of 8, with arbitrary bytes. Give the type or the
  size of the records to cut these bytes off. In a flexible array they look like elements.

The kernel does not pass the reader's memory on to a forked child. In a child, everything but close raises an error:
open a reader of its own there.
@function bpf.perfbuf
@tparam bpf.map map of type perf_event_array
@tparam ?string|integer|bpf.type type the C type of the records: a name in the object's BTF or the kernel's, C text, or
 a size in bytes; nil gives the bytes, with those that the kernel added
@tparam ?function handler called by poll and consume with each record and the number of its CPU; nil for a reader that
 only events reads
@tparam ?table options
- unpack: true passes the members of a struct as values instead of a table: `function(pid, comm, cpu)`
- into: a table to fill with every record instead of creating new ones
- lost: `function(cpu, n, why)`, called in its place among the records where n records found no room; then `why` is nil.
  If something else than this reader and the kernel wrote the buffer's memory, `why` is a text, and n is 1
- pages: the size of each CPU's memory in pages, a power of two; 64 by default
- cpus: a sequence of the CPUs to read; by default all that are online
- sample_period: a waiting reader is woken when this many records have come to one CPU's memory; 1 by default. When its
  timeout ends, it reads the records that are there
- wakeup_events: the kernel's name for sample_period
@treturn bpf.perfbuf the reader
@treturn nil,string,string on failure: EPERM, EACCES, EMFILE, ENODEV (no such CPU, or it is offline), E2BIG (the map has
 no slot for the CPU), …
@usage
local obj <close> = assert(bpf.load("build/progs/perfs.bpf.o"))
local reader <close> = assert(bpf.perfbuf(obj.maps.notes, "struct note", function(note, cpu)
  print(cpu, note.seq, note.text)
end, { pages = 16, lost = function(cpu, n) print(n .. " records lost on CPU " .. cpu) end }))
reader:poll(10) -- waits up to 10 ms for the first record
@see perf_buffer__new */
static int perfbuf_new(lua_State *L)
{
	return lbpf_reader_new(L, &perf_kind);
}

/* changes(map, nil, handler, options) → a reader of what the kernel tells of all processes: perf's records of mappings,
 * executions and forks, with their headers, and their times behind them. It is part of no API. The map, of type
 * perf_event_array, is for nobody else. */
static int perfbuf_changes(lua_State *L)
{
	return lbpf_reader_new(L, &changes_kind);
}

/*** Adds another map to the reader. The arguments are those of bpf.perfbuf.
@function perfbuf:add
@tparam bpf.map map
@tparam ?string|integer|bpf.type type
@tparam ?function handler
@tparam ?table options
@treturn bpf.perfbuf the reader itself
@treturn nil,string,string on failure
@usage
assert(reader:add(obj.maps.others, "struct note", function(note, cpu) print(cpu, note.seq) end))
*/
static int perfbuf_add(lua_State *L)
{
	return lbpf_reader_add_map(L, &perf_kind);
}

/* ---- methods ---- */

/*** Passes the records that are there to their handlers. If there are none, the call waits for the first. If a handler
raises an error, the call ends with it: the handler's record counts as consumed, and the next call gets the rest. A map
without a handler raises an error: read it by perfbuf:events.
@function perfbuf:poll
@tparam ?integer timeout milliseconds to wait for the first record; 0 doesn't wait, -1 or nil waits for ever
@tparam ?integer max how many records to handle at most, 1 or more; nil for all that are there
@treturn integer how many records were handled; 0 when the timeout ended, or after a signal that the process handles.
 With one that bpf.signals catches, the call doesn't wait until it is polled
@treturn nil,string,string on failure: EINTR, in a coroutine only: a signal's handler has set a hook in the main thread,
 during this call or since the reader's last one. `lua` does so for Ctrl-C
@usage
print(reader:poll(1000)) -- 3, after the handler was called for three records
@see perf_buffer__poll */
static int perfbuf_poll(lua_State *L)
{
	return lbpf_reader_poll(L, &perf_kind);
}

/*** Passes the records that are there to their handlers, without waiting. A map without a handler raises an error.
@function perfbuf:consume
@tparam ?integer max how many records to handle at most, 1 or more; nil for all that are there
@treturn integer how many records were handled
@usage
print(reader:consume(2)) -- 2; the third record stays
@see perf_buffer__consume */
static int perfbuf_consume(lua_State *L)
{
	return lbpf_reader_consume(L, &perf_kind);
}

/*** Iterates over records as they come: `for e, cpu in reader:events(1000) do`. It does not call the handlers, but it
calls `lost`.
@function perfbuf:events
@tparam ?integer timeout milliseconds to wait for the next record before the loop ends; -1 or nil waits for ever. A
 signal that bpf.signals catches ends the loop, even if there are records. Other signals don't: Ctrl-C raises an error
 out of the loop. In a coroutine, where that error can't be raised, the loop ends
@treturn function iterator over records, or with `unpack` over their members, and the number of the CPU after each
@usage
for note, cpu in reader:events(10) do
  print(cpu, note.seq, note.text)
end
*/
static int perfbuf_events(lua_State *L)
{
	return lbpf_reader_events(L, &perf_kind);
}

/*** Returns how many records were lost since the reader was opened, as far as it has read. The kernel reports records
that found no room with the next record that finds room.
@function perfbuf:lost
@treturn integer the number
@usage
print(reader:lost()) -- 0
*/
static int perfbuf_lost(lua_State *L)
{
	return lbpf_reader_lost(L, &perf_kind);
}

/*** Returns a descriptor for event loops, which is readable when a record is there. Then call perfbuf:consume.
@function perfbuf:fd
@treturn integer the descriptor, which belongs to the reader: don't close it
@treturn nil,string,string on failure, the first time: EMFILE, EAGAIN (see fs.aio-max-nr), ENOSYS (no asynchronous I/O)
@usage
local fd = assert(reader:fd())
@see perf_buffer__epoll_fd */
static int perfbuf_fd(lua_State *L)
{
	return lbpf_reader_fd(L, &perf_kind);
}

/*** Returns what perfbuf:fd returns, under the name that LuaSocket's select and other loops call. Give them the reader
itself.
@function perfbuf:getfd
@treturn integer the descriptor
@treturn nil,string,string on failure, as for perfbuf:fd
@usage
local readable = require("socket").select({ reader }, nil, 1)
if readable[1] then readable[1]:consume() end
*/

/*** Closes the reader and empties the map's slots. Closing it twice is allowed, and so is closing it in a handler. A
forked child has a copy of the reader's file: the slots are emptied once the child, too, has closed the reader or ended.
@function perfbuf:close
@treturn true
@usage
reader:close()
@see perf_buffer__free */
static int perfbuf_close(lua_State *L)
{
	return lbpf_class_close(L, &reader_class);
}

static int perfbuf_tostring(lua_State *L)
{
	struct lbpf_reader *r = lbpf_class_check(L, 1, &reader_class);

	if (r->epoll < 0)
		lua_pushliteral(L, "bpf.perfbuf: (closed)");
	else
		lua_pushfstring(L, "bpf.perfbuf: %d buffer%s", (int)r->count, r->count == 1 ? "" : "s");
	return 1;
}

static const luaL_Reg perfbuf_methods[] = {
	{ "add", perfbuf_add },	      { "poll", perfbuf_poll },	  { "consume", perfbuf_consume },
	{ "events", perfbuf_events }, { "lost", perfbuf_lost },	  { "fd", perfbuf_fd },
	{ "getfd", perfbuf_fd },      { "close", perfbuf_close }, { NULL, NULL },
};

static const luaL_Reg perfbuf_meta[] = {
	{ "__tostring", perfbuf_tostring },
	{ NULL, NULL },
};

static const struct lbpf_class reader_class = {
	.name = "bpf.perfbuf",
	.descriptors = 4,
	.methods = perfbuf_methods,
	.meta = perfbuf_meta,
	.init = lbpf_reader_init,
	.release = lbpf_reader_release,
};

void lbpf_perfbuf_open(lua_State *L)
{
	lbpf_class_register(L, &reader_class);
	lua_pushcfunction(L, perfbuf_new);
	lua_setfield(L, -2, "perfbuf");
}

void lbpf_perfbuf_posix(lua_State *L)
{
	lua_getfield(L, -1, "posix");
	lua_pushcfunction(L, perfbuf_changes);
	lua_setfield(L, -2, "changes");
	lua_pop(L, 1);
}
