/* SPDX-License-Identifier: MIT */
/* The kernel's clocks, the dates of their times, and sleeping. */
#define _GNU_SOURCE
#include "base/clock.h"

#include <errno.h>
#include <stdint.h>
#include <time.h>

#include <lauxlib.h>

#include "base/arg.h"
#include "base/caught.h"
#include "base/err.h"
#include "base/wait.h"

#define NS_PER_S INT64_C(1000000000)

static const struct lbpf_name clocks[] = {
	{ "monotonic", CLOCK_MONOTONIC },
	{ "boottime", CLOCK_BOOTTIME },
	{ "realtime", CLOCK_REALTIME },
	{ "tai", CLOCK_TAI },
	{ NULL, 0 },
};

static int64_t now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return time.tv_sec * NS_PER_S + time.tv_nsec;
}

/* The optional name of a clock at idx. */
static clockid_t clock_arg(lua_State *L, int idx)
{
	const char *name = lua_isnoneornil(L, idx) ? "monotonic" : lbpf_arg_string(L, idx);
	int64_t clock = lbpf_name_value(clocks, name);

	if (clock < 0)
		lbpf_name_unknown(L, clocks, "clock", name);
	return (clockid_t)clock;
}

/*** Returns the time of one of the kernel's clocks in nanoseconds:

- "monotonic": since boot, without the time that the machine was suspended. Programs read it by bpf_ktime_get_ns
- "boottime": since boot. Programs read it by bpf_ktime_get_boot_ns
- "realtime": since 1970. Setting the date sets this clock
- "tai": since 1970, with leap seconds. Programs read it by bpf_ktime_get_tai_ns (since Linux 6.1)
@function bpf.clock
@tparam ?string name of the clock, by default "monotonic"
@treturn integer nanoseconds
@usage
local start = bpf.clock()
local seconds = (bpf.clock() - start) * 1e-9
@see bpf_ktime_get_ns */
static int bpf_clock(lua_State *L)
{
	lua_pushinteger(L, now(clock_arg(L, 1)));
	return 1;
}

/* How far the date is ahead of the clock. A preempted look at both clocks would be wrong by as long, so the shortest of
 * a few counts. */
static int64_t ahead(clockid_t clock)
{
	int64_t best = INT64_MAX, result = 0;

	for (int i = 0; i < 4; i++) {
		int64_t before = now(clock), date = now(CLOCK_REALTIME), took = now(clock) - before;

		if (took >= 0 && took < best) {
			best = took;
			result = date - before - took / 2;
		}
	}
	return result;
}

/*** Returns the date of a time of one of the kernel's clocks, for example of an event's time stamp. The date is
computed from what both clocks show now, so it is wrong by as much as the date was set meanwhile. The clock "monotonic"
stands still while the machine is suspended. So dates of its times from before a suspend are too late; those of
"boottime" are not.
@function bpf.walltime
@tparam integer ns the time in nanoseconds
@tparam ?string clock its clock, as in bpf.clock; by default "monotonic"
@treturn integer seconds since 1970, as os.date takes them
@treturn integer nanoseconds beyond these, from 0 to 999999999
@usage
print(os.date("%T", (bpf.walltime(bpf.clock()))))
local seconds, ns = bpf.walltime(bpf.clock "boottime", "boottime")
print(os.date("%F %T", seconds) .. (".%03d"):format(ns // 1000000)) */
static int bpf_walltime(lua_State *L)
{
	int64_t ns = luaL_checkinteger(L, 1), seconds, rest;
	clockid_t clock = clock_arg(L, 2);

	if (clock != CLOCK_REALTIME && __builtin_add_overflow(ns, ahead(clock), &ns))
		luaL_argerror(L, 1, "no time of this clock: its date is out of range");
	seconds = ns / NS_PER_S;
	rest = ns % NS_PER_S;
	lua_pushinteger(L, rest < 0 ? seconds - 1 : seconds);
	lua_pushinteger(L, rest < 0 ? rest + NS_PER_S : rest);
	return 2;
}

/* Nanoseconds, rounded up; -1 for what is longer than 272 years. */
static int64_t to_ns(lua_Number seconds)
{
	if (seconds >= 0x1p33)
		return -1;
	return seconds <= 0 ? 0 : (int64_t)(seconds * (lua_Number)NS_PER_S) + 1;
}

/*** Sleeps. It starts no process. A signal that the process handles ends it early: with one that bpf.signals catches,
it returns false, at once if the signal came before and was not polled yet. Ctrl-C in `lua` raises "interrupted!".
@function bpf.sleep
@tparam number seconds fractions are allowed; math.huge sleeps until a signal comes; a negative number, as the rest of a
 time that is over may be, doesn't sleep
@treturn boolean true; false if a signal ended it early
@usage
assert(bpf.sleep(0.01)) */
static int bpf_sleep(lua_State *L)
{
	lua_State *main = lbpf_wait_main(L);
	struct pollfd list[LBPF_CAUGHT_MOST];
	lua_Number seconds;
	int err;

	luaL_checktype(L, 1, LUA_TNUMBER);
	seconds = lua_tonumber(L, 1);
	luaL_argcheck(L, seconds == seconds, 1, "a number of seconds expected, got NaN");
	err = lbpf_wait_poll(main, list, 0, to_ns(seconds));
	if (err && err != EINTR)
		return lbpf_err_push(L, err, NULL, "bpf.sleep");
	lua_pushboolean(L, !err);
	return 1;
}

void lbpf_clock_open(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "clock", bpf_clock },
		{ "walltime", bpf_walltime },
		{ "sleep", bpf_sleep },
		{ NULL, NULL },
	};

	luaL_setfuncs(L, functions, 0);
}
