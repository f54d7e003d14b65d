/* SPDX-License-Identifier: MIT */
/* The messages that libbpf prints while one of our calls runs.
 *
 * libbpf has one print callback for the whole process. We install our own before the host's. It keeps the messages of
 * our own calls, by thread, and passes everything else on to the host's. */
#define _GNU_SOURCE
#include "base/log.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/libbpf.h>

#include <lauxlib.h>

#include "base/class.h"
#include "base/printed.h"

struct lbpf_log {
	struct lbpf_head head;
	bool open;  /* until collected */
	char *text; /* messages, each with a newline at its end; NULL if none was ever kept */
	size_t len, room;
};

static pthread_once_t hook_once = PTHREAD_ONCE_INIT;
static _Atomic(libbpf_print_fn_t) hook_before; /* the host's callback */
static _Thread_local struct lbpf_log *hook_target;

static const char LOG_KEY;

static bool log_reserve(struct lbpf_log *log, size_t more)
{
	size_t room = log->room ? log->room : 1024;
	char *text;

	while (room < log->len + more)
		room *= 2;
	if (room == log->room)
		return true;
	text = realloc(log->text, room);
	if (!text)
		return false;
	log->text = text;
	log->room = room;
	return true;
}

/* Runs inside libbpf, so it may not use Lua. A message for which there is no memory is lost. */
__attribute__((format(printf, 2, 0))) static int log_keep(struct lbpf_log *log, const char *fmt, va_list args)
{
	static const char prefix[] = "libbpf: ";
	va_list again;
	int n;

	if (strncmp(fmt, prefix, sizeof(prefix) - 1) == 0)
		fmt += sizeof(prefix) - 1;
	va_copy(again, args);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0 || !log_reserve(log, (size_t)n + 2))
		return 0;
	vsnprintf(log->text + log->len, (size_t)n + 1, fmt, args);
	log->len += (size_t)n;
	if (n > 0 && log->text[log->len - 1] != '\n')
		log->text[log->len++] = '\n';
	log->text[log->len] = '\0';
	return n;
}

__attribute__((format(printf, 2, 0))) static int log_hook(enum libbpf_print_level level, const char *fmt, va_list args)
{
	struct lbpf_log *log = hook_target;

	if (!log) {
		libbpf_print_fn_t before = hook_before;

		return before ? before(level, fmt, args) : 0;
	}
	/* of the debug messages, keeps only the verifier's log of a program that it accepts, which was asked for */
	if (level == LIBBPF_DEBUG && !strstr(fmt, "PROG LOAD LOG"))
		return 0;
	return log_keep(log, fmt, args);
}

/* Installs the callback, and never removes it: a host may have stored our callback, to call it after its own. So the
 * module must stay loaded even after the last Lua state has closed it. */
static void hook_install(void)
{
	Dl_info self;

	if (dladdr(&hook_once, &self) && self.dli_fname)
		dlopen(self.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
	hook_before = libbpf_set_print(log_hook);
}

static void log_release(lua_State *L, int idx, void *self)
{
	struct lbpf_log *log = self;

	(void)L;
	(void)idx;
	log->open = false;
	free(log->text);
	log->text = NULL;
	log->len = log->room = 0;
}

static const struct lbpf_class log_class = { .name = "bpf.log", .release = log_release };

struct lbpf_log *lbpf_log_begin(lua_State *L)
{
	struct lbpf_log *log;

	lua_rawgetp(L, LUA_REGISTRYINDEX, &LOG_KEY);
	log = lua_touserdata(L, -1);
	lua_pop(L, 1);
	log->len = 0;
	hook_target = log->open ? log : NULL;
	return log;
}

void lbpf_log_end(struct lbpf_log *log)
{
	(void)log;
	hook_target = NULL;
}

const char *lbpf_log_text(struct lbpf_log *log)
{
	return log->len ? log->text : "";
}

const char *lbpf_log_push_last(lua_State *L, struct lbpf_log *log)
{
	size_t len;
	const char *cause = lbpf_printed_cause(lbpf_log_text(log), &len);

	if (!cause) {
		lua_pushnil(L);
		return NULL;
	}
	return lua_pushlstring(L, cause, len);
}

void lbpf_log_deliver(lua_State *L, struct lbpf_log *log)
{
	const char *line, *end;

	if (!log->len)
		return;
	luaL_checkstack(L, 6, NULL);
	lua_rawgetp(L, LUA_REGISTRYINDEX, &LOG_KEY);
	if (lua_getiuservalue(L, -1, 1) != LUA_TFUNCTION) {
		lua_pop(L, 2);
		return;
	}
	/* the function may call libbpf again, which empties the log, so it gets a copy */
	line = lua_pushlstring(L, log->text, log->len);
	for (; (end = strchr(line, '\n')); line = end + 1) {
		lua_pushvalue(L, -2);
		lua_pushlstring(L, line, (size_t)(end - line));
		lua_call(L, 1, 0);
	}
	lua_pop(L, 3);
}

/*** Sets the function that receives libbpf's messages. By default no function does, and libbpf prints nothing. A failed
call has its messages in the error.
@function bpf.log
@tparam ?function fn called with each line that libbpf prints while a call of this library runs: warnings, information,
 and the verifier's output that `prog:log_level` asks for. nil for no function
@usage
bpf.log(function(line) io.stderr:write("libbpf: ", line, "\n") end)
bpf.log(nil)  -- silent again
@see libbpf_set_print */
static int log_set(lua_State *L)
{
	if (!lua_isnoneornil(L, 1))
		luaL_checktype(L, 1, LUA_TFUNCTION);
	lua_settop(L, 1);
	lua_rawgetp(L, LUA_REGISTRYINDEX, &LOG_KEY);
	lua_insert(L, 1);
	lua_setiuservalue(L, 1, 1);
	return 0;
}

/* The first opener: because finalizers run in reverse order, the log outlives every handle that makes libbpf print. */
void lbpf_log_open(lua_State *L)
{
	struct lbpf_log *log;

	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &LOG_KEY) == LUA_TNIL) {
		lbpf_class_register(L, &log_class);
		log = lbpf_class_new(L, &log_class, sizeof(*log), 1);
		lua_rawsetp(L, LUA_REGISTRYINDEX, &LOG_KEY);
		pthread_once(&hook_once, hook_install);
		log->open = true;
	}
	lua_pop(L, 1);
	lua_pushcfunction(L, log_set);
	lua_setfield(L, -2, "log");
}
