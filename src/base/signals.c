/* SPDX-License-Identifier: MIT */
/* Signal handles: a script takes signals as events.
 *
 * A handle has a set of base/caught from its creation to its close. The set holds an eventfd and keeps the process's
 * handler in place. A forked child has the handle too, and gets its own signals by it. */
#include "base/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>

#include <lauxlib.h>

#include "base/arg.h"
#include "base/caught.h"
#include "base/class.h"
#include "base/err.h"
#include "base/wait.h"

struct signals {
	struct lbpf_head head;
	int set; /* -1: closed */
};

static const struct lbpf_name names[] = {
	{ "HUP", SIGHUP },   { "INT", SIGINT },	  { "QUIT", SIGQUIT }, { "USR1", SIGUSR1 },   { "USR2", SIGUSR2 },
	{ "PIPE", SIGPIPE }, { "ALRM", SIGALRM }, { "TERM", SIGTERM }, { "CHLD", SIGCHLD },   { "CONT", SIGCONT },
	{ "TSTP", SIGTSTP }, { "TTIN", SIGTTIN }, { "TTOU", SIGTTOU }, { "WINCH", SIGWINCH }, { NULL, 0 },
};

/* Signals that are no events, and why. */
#define UNCATCHABLE "the kernel lets no process catch it"
#define FAULT "it reports a fault of the process itself, which would only happen again"

static const struct {
	const char *name, *why;
} refused[] = {
	{ "KILL", UNCATCHABLE }, { "STOP", UNCATCHABLE }, { "SEGV", FAULT }, { "BUS", FAULT },	{ "FPE", FAULT },
	{ "ILL", FAULT },	 { "TRAP", FAULT },	  { "SYS", FAULT },  { "ABRT", FAULT },
};

static void signals_init(void *self)
{
	((struct signals *)self)->set = -1;
}

static void signals_release(lua_State *L, int idx, void *self)
{
	struct signals *signals = self;
	int set = signals->set;

	(void)L;
	(void)idx;
	signals->set = -1;
	if (set >= 0)
		lbpf_caught_close(set);
}

static const struct lbpf_class signals_class;

static struct signals *signals_check(lua_State *L)
{
	struct signals *signals = lbpf_class_check(L, 1, &signals_class);

	if (signals->set < 0)
		luaL_error(L, "these signals have been given back: the handle is closed");
	return signals;
}

/* The bit of the signal whose name is at idx. */
static uint32_t signal_arg(lua_State *L, int idx)
{
	const char *name = lbpf_arg_string(L, idx);
	int64_t number = lbpf_name_value(names, name);

	if (number >= 0)
		return LBPF_CAUGHT_BIT(number);
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++)
		if (!strcmp(refused[i].name, name))
			luaL_argerror(L, idx, lua_pushfstring(L, "%s can't be an event: %s", name, refused[i].why));
	lbpf_name_unknown(L, names, "signal", name);
}

/* Opens a set for the handle. If there are too many, handles are collected first. Returns 0 or an errno. */
static int signals_acquire(lua_State *L, struct signals *signals, uint32_t wanted)
{
	const lua_State *main = lbpf_wait_main(L);
	int err = lbpf_caught_open(main, wanted, &signals->set);

	if (err == ENOSPC && lua_gc(L, LUA_GCISRUNNING)) {
		lua_gc(L, LUA_GCCOLLECT);
		err = lbpf_caught_open(main, wanted, &signals->set);
	}
	return err;
}

/*** Makes signals events of this script: from now on, they don't end the process, and the script asks for them by
`signals:poll`. While a signal has come that isn't polled yet, waits end:

- `poll` of ring buffers and perf buffers passes what is there and doesn't wait
- loops over `events` and bpf.printk end
- bpf.sleep returns false; `user_ringbuf:submit` doesn't wait for room and returns EINTR
- `metrics:serve` returns

The output of iterators (`link:lines`, `link:records`, `link:read`) isn't cut off, because it ends by itself.

Waits of other libraries and of `io.read` go on, because the handler is installed with SA_RESTART. Give `signals:fd` to
their event loop. `os.execute` ignores INT and QUIT while its command runs.

Several handles may be open, in several Lua states too. Each gets the signals that it names, and ends the waits of its
own state. When the last handle that names a signal is closed or collected, the process handles the signal as it did
before. So keep the handle. If something else has replaced the handler meanwhile, that one stays. A signal that wasn't
polled before the close is dropped. Processes that `os.execute` and `io.popen` start don't have the handler. A forked
child gets its own signals by the same handle.
@function bpf.signals
@tparam string ... names: "HUP", "INT" (Ctrl-C), "QUIT", "USR1", "USR2", "PIPE", "ALRM", "TERM", "CHLD", "CONT", "TSTP",
 "TTIN", "TTOU", "WINCH" (the terminal's size). A signal that the process ignores, such as HUP under nohup, is
 caught as well. Others raise an error: the kernel lets no process catch KILL and STOP, and after SEGV and the like a
 process can't go on
@treturn bpf.signals
@treturn nil,string,string on failure: EMFILE, ENOSPC (64 handles are open in this process)
@usage not run: the reader is yours
local signals <close> = assert(bpf.signals("INT", "TERM"))
repeat
  events:poll(1000)
until signals:poll(0)
print(count, "events") -- a summary
@see signal(7) */
static int bpf_signals(lua_State *L)
{
	int count = lua_gettop(L), err;
	struct signals *signals;
	uint32_t wanted = 0;

	luaL_argcheck(L, count > 0, 1, "the name of a signal expected, such as \"TERM\"");
	for (int i = 1; i <= count; i++)
		wanted |= signal_arg(L, i);
	signals = lbpf_class_new(L, &signals_class, sizeof(*signals), 0);
	err = signals_acquire(L, signals, wanted);
	if (err)
		return lbpf_err_push(L, err,
				     err == ENOSPC ? "64 handles are open, the most that a process can have" : NULL,
				     "bpf.signals");
	return 1;
}

/* Pushes the names of the signals in a set. */
static int push_names(lua_State *L, uint32_t set)
{
	int n = 0;

	for (const struct lbpf_name *row = names; row->name; row++)
		if (set & LBPF_CAUGHT_BIT(row->value)) {
			lua_pushstring(L, row->name);
			n++;
		}
	return n;
}

/*** Returns the signals that came since the last call, and waits for one if there is none. A signal that came several
times meanwhile is returned once. The wait ends early for another handle's signal, as all waits do.
@function signals:poll
@tparam ?integer timeout milliseconds to wait; 0 doesn't wait, -1 or nil waits for ever
@treturn string ... their names; nothing if none came in time
@usage
if signals:poll(0) then
  print "ending"
end */
static int signals_poll(lua_State *L)
{
	struct signals *signals = signals_check(L);
	int timeout = lbpf_wait_arg(L, 2, -1), err, n;
	uint32_t came;

	luaL_checkstack(L, LBPF_CAUGHT_MOST, NULL);
	if (timeout && !lbpf_caught_look(signals->set)) {
		err = lbpf_wait_readable(lbpf_wait_main(L), -1, timeout);
		if (err && err != EINTR)
			return lbpf_err_push(L, err, NULL, "signals:poll");
	}
	/* Names allocate, so a finalizer may take the same signals or close the handle. */
	do {
		lua_settop(L, 1);
		signals = signals_check(L);
		came = lbpf_caught_look(signals->set);
		n = push_names(L, came);
	} while (came && (signals->set < 0 || !lbpf_caught_take(signals->set, came)));
	return n;
}

/*** Returns a descriptor for event loops. It is readable while there are signals to poll.
@function signals:fd
@treturn integer an eventfd, which belongs to the handle: don't close it
@treturn nil,string,string on failure, in a forked child only: EMFILE, …
@usage
local fd = signals:fd() */
static int signals_fd(lua_State *L)
{
	int fd = lbpf_caught_fd(signals_check(L)->set);

	if (fd < 0)
		return lbpf_err_push(L, errno, NULL, "signals:fd");
	lua_pushinteger(L, fd);
	return 1;
}

/*** Returns what signals:fd returns, under the name that LuaSocket's select and other loops call. Give them the handle
itself.
@function signals:getfd
@treturn integer the descriptor
@usage
local came = require("socket").select({ signals }, nil, 0)[1] -- nil: none came
*/

/*** Gives the signals back. Closing the handle twice is allowed.
@function signals:close
@treturn true
@usage
signals:close() */
static int signals_close(lua_State *L)
{
	return lbpf_class_close(L, &signals_class);
}

static int signals_tostring(lua_State *L)
{
	const struct signals *signals = lbpf_class_check(L, 1, &signals_class);
	uint32_t wanted;
	luaL_Buffer list;

	if (signals->set < 0) {
		lua_pushliteral(L, "bpf.signals: closed");
		return 1;
	}
	wanted = lbpf_caught_wanted(signals->set);
	luaL_buffinit(L, &list);
	luaL_addstring(&list, "bpf.signals:");
	for (const struct lbpf_name *row = names; row->name; row++)
		if (wanted & LBPF_CAUGHT_BIT(row->value)) {
			luaL_addchar(&list, ' ');
			luaL_addstring(&list, row->name);
		}
	luaL_pushresult(&list);
	return 1;
}

static const luaL_Reg signals_methods[] = {
	{ "poll", signals_poll },   { "fd", signals_fd }, { "getfd", signals_fd },
	{ "close", signals_close }, { NULL, NULL },
};

static const luaL_Reg signals_meta[] = {
	{ "__tostring", signals_tostring },
	{ NULL, NULL },
};

static const struct lbpf_class signals_class = {
	.name = "bpf.signals",
	.descriptors = 2,
	.methods = signals_methods,
	.meta = signals_meta,
	.init = signals_init,
	.release = signals_release,
};

void lbpf_signals_open(lua_State *L)
{
	lbpf_class_register(L, &signals_class);
	lua_pushcfunction(L, bpf_signals);
	lua_setfield(L, -2, "signals");
}
