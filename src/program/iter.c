/* SPDX-License-Identifier: MIT */
/* The output of iterator programs, and the text that all programs print to the kernel's trace pipe. */
#include "program/iter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include <lauxlib.h>

#include "base/arg.h"
#include "base/cause.h"
#include "base/err.h"
#include "base/wait.h"
#include "btf/btf.h"
#include "program/link.h"
#include "program/stream.h"

/* Pushes a stream of the output of the iterator at index 1, from the beginning; or nil, message and code. Returns how
 * many values were pushed. */
static int iter_push(lua_State *L, struct lbpf_stream **s)
{
	struct lbpf_link *link = lbpf_link_check(L, 1);
	int fd, err;

	*s = lbpf_stream_push(L);
	fd = lbpf_link_descriptor(link);
	(*s)->file.fd = fd < 0 ? -1 : bpf_iter_create(fd);
	if ((*s)->file.fd >= 0)
		return 1;
	err = fd < 0 ? EINVAL : errno;
	return lbpf_link_fail(L, link, err, err == EINVAL ? "this is the link of no iterator" : NULL, "read");
}

/*** Runs an iterator program and iterates over the lines that it prints. Each call runs the program anew.
@function link:lines
@treturn function iterator over lines without their newline, with a value that closes the output when the loop ends;
 a link of another kind of program raises an error
@usage
local link <close> = assert(obj.progs.tasks:attach_iter()) -- SEC("iter/task")
for line in link:lines() do
  print(line)
end
@see bpf_iter_create
@since kernel 5.8 */
static int link_lines(lua_State *L)
{
	struct lbpf_stream *s;

	if (iter_push(L, &s) != 1)
		return luaL_error(L, "%s", lua_tostring(L, -2));
	return lbpf_stream_return(L, lbpf_stream_next_line);
}

/* Pushes the type that the second argument means; the first is the link. Names are looked up in the object's own types
 * first. */
static int compile_record(lua_State *L)
{
	const struct lbpf_link *link = lua_touserdata(L, 1);

	lbpf_btf_spec(L, 2, lbpf_link_is_open(link) ? (struct btf *)(uintptr_t)link->btf : NULL, "record");
	return 1;
}

/*** Runs an iterator program that writes records of one size (bpf_seq_write), and iterates over these records. Each
call runs the program anew.
@function link:records
@tparam string|integer|bpf.type type of a record: C text, a name in the object's BTF or the kernel's, or a size in bytes
@treturn function iterator over records, with a value that closes the output when the loop ends. A link of another kind
 of program raises an error; so does the loop, if the output ends in the middle of a record
@usage
local program = obj.progs.pairs -- SEC("iter/bpf_map_elem")
local link <close> = assert(program:attach_iter { map = obj.maps.elements })
for pair in link:records "struct pair { __u32 key; __u64 value; }" do
  print(pair.key, pair.value)
end
@see bpf_iter_create
@since kernel 5.8 */
static int link_records(lua_State *L)
{
	struct lbpf_stream *s;

	luaL_checkany(L, 2);
	lbpf_link_check(L, 1);
	lua_pushcfunction(L, compile_record);
	lua_pushvalue(L, 1);
	lua_pushvalue(L, 2);
	lbpf_call_undisturbed(L, 2, 1);
	if (((struct lbpf_type *)lua_touserdata(L, -1))->size == 0)
		luaL_argerror(L, 2, "a type with a size expected");
	lua_replace(L, 2);
	if (iter_push(L, &s) != 1)
		return luaL_error(L, "%s", lua_tostring(L, -2));
	lua_pushvalue(L, 2);
	lbpf_stream_set_type(L, s);
	return lbpf_stream_return(L, lbpf_stream_next_record);
}

/*** Runs an iterator program and returns everything that it prints. Each call runs the program anew.
@function link:read
@treturn string
@treturn nil,string,string on failure: EINVAL (the link is of another kind of program), …
@usage
local link <close> = assert(obj.progs.tasks:attach_iter()) -- SEC("iter/task")
local text = assert(link:read())
@see bpf_iter_create
@since kernel 5.8 */
static int link_read(lua_State *L)
{
	struct lbpf_stream *s;
	int n = iter_push(L, &s), idx = lua_gettop(L);

	if (n != 1)
		return n;
	lua_toclose(L, idx);
	lbpf_stream_push_rest(L, idx, s);
	return 1;
}

/* ---- the trace pipe ---- */

static int open_trace_pipe(void)
{
	int fd = open("/sys/kernel/tracing/trace_pipe", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		fd = open("/sys/kernel/debug/tracing/trace_pipe", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return fd;
}

/* Converts a decimal fraction to a number. strtod would expect the decimal point of the locale. The result comes from a
 * single division, so it is rounded once, as by strtod. */
static double read_seconds(const char *s)
{
	uint64_t n = 0, scale = 1;
	bool fraction = false;

	for (; *s == ' '; s++)
		;
	for (; (*s >= '0' && *s <= '9') || (*s == '.' && !fraction); s++) {
		if (*s == '.') {
			fraction = true;
			continue;
		}
		n = n * 10 + (uint64_t)(*s - '0');
		scale *= fraction ? 10 : 1;
	}
	return (double)n / (double)scale;
}

/* Pushes the text that was passed to bpf_printk, and the fields that the kernel has put before it: "<task>-<pid>
 * [<cpu>] <flags> <seconds>: bpf_trace_printk: <text>". Returns false for any other line. */
static bool push_printk(lua_State *L, const char *line)
{
	static const char mark[] = "bpf_trace_printk: ";
	const char *text = strstr(line, mark), *cpu = strchr(line, '['), *dash = cpu, *end;

	if (!text || !cpu || cpu > text)
		return false;
	while (dash > line && *dash != '-') /* the name of a task may contain dashes, too */
		dash--;
	while (*line == ' ')
		line++;
	if (dash <= line)
		return false;
	lua_pushstring(L, text + sizeof(mark) - 1);
	lua_createtable(L, 0, 4);
	lua_pushlstring(L, line, (size_t)(dash - line));
	lua_setfield(L, -2, "task");
	lbpf_set_integer(L, "pid", strtol(dash + 1, NULL, 10));
	lbpf_set_integer(L, "cpu", strtol(cpu + 1, NULL, 10));
	for (end = text; end > cpu && *end != ':';)
		end--;
	while (end > cpu && end[-1] != ' ')
		end--;
	lua_pushnumber(L, read_seconds(end));
	lua_setfield(L, -2, "time");
	return true;
}

static int printk_next(lua_State *L)
{
	for (;;) {
		lbpf_stream_next_line(L);
		if (lua_isnil(L, -1))
			return 1;
		if (push_printk(L, lua_tostring(L, -1)))
			return 2;
	}
}

/*** Iterates over the texts that programs of all processes print with bpf_printk. The system has one pipe for these
texts: a text that one reader takes, no other reader gets. This needs a mounted tracefs.
@function bpf.printk
@tparam ?integer timeout milliseconds to wait for the next line before the loop ends; -1 or nil waits for ever. A signal
 that bpf.signals catches ends the loop. Other signals don't: Ctrl-C raises an error out of the loop. In a coroutine,
 where that error can't be raised, the loop ends
@treturn function iterator over texts, each with a table: `task` (the name), `pid`, `cpu`, and `time` in seconds since
 boot; with a value that closes the pipe when the loop ends
@treturn nil,string,string on failure: ENOENT (no tracefs is mounted), EBUSY (another process reads the pipe; newer
 kernels give it to one reader at a time), EPERM, …
@usage not run: it needs a mounted tracefs
for text, from in assert(bpf.printk(1000)) do
  print(from.time, from.task, text)
end
@see bpf_trace_printk */
static int bpf_printk_open(lua_State *L)
{
	int timeout = lbpf_wait_arg(L, 1, -1), err;
	struct lbpf_stream *s = lbpf_stream_push(L);

	s->timeout = timeout;
	s->endless = true;
	s->file.fd = open_trace_pipe();
	if (s->file.fd >= 0)
		return lbpf_stream_return(L, printk_next);
	err = errno;
	return lbpf_err_push(L, err,
			     err == ENOENT			     ? lbpf_no_tracefs()
				     : err == EACCES || err == EPERM ? "refused; it takes root"
				     : err == EBUSY ? "another process reads the kernel's trace_pipe, which takes one"
						    : NULL,
			     "printk");
}

static const luaL_Reg link_methods[] = {
	{ "lines", link_lines },
	{ "records", link_records },
	{ "read", link_read },
	{ NULL, NULL },
};

void lbpf_iter_open(lua_State *L)
{
	lbpf_class_add_methods(L, &lbpf_link_class, link_methods);
	lua_pushcfunction(L, bpf_printk_open);
	lua_setfield(L, -2, "printk");
}
