/* SPDX-License-Identifier: MIT */
/* Ways to attach programs that watch: probes of the kernel and of processes, tracepoints, perf events, hooks of the
 * kernel's functions, iterators. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <lauxlib.h>

#include "attach.h"
#include "descriptor.h"
#include "map.h"
#include "newer.h"
#include "perfevent.h"
#include "program.h"

/* ---- kernel functions ---- */

static const struct lbpf_option kprobe_options[] = {
	LBPF_TARGET_OPT(BOOL, retprobe),
	LBPF_TARGET_OPT(U64, offset),
	LBPF_TARGET_OPT(U64, bpf_cookie),
	{ NULL, LBPF_OPT_OTHER, 0 },
};

static int attach_kprobe(struct lbpf_link *link, const struct bpf_program *prog, const struct lbpf_target *to)
{
	LIBBPF_OPTS(bpf_kprobe_opts, opts, .bpf_cookie = to->bpf_cookie, .offset = to->offset,
		    .retprobe = to->retprobe);

	return lbpf_attach_done(link, bpf_program__attach_kprobe_opts(prog, to->name, &opts));
}

static const struct lbpf_option kprobe_multi_options[] = {
	LBPF_TARGET_OPT(BOOL, retprobe),  LBPF_TARGET_OPT(BOOL, session), LBPF_TARGET_OPT(BOOL, unique_match),
	{ "cookies", LBPF_OPT_OTHER, 0 }, { NULL, LBPF_OPT_OTHER, 0 },
};

/* A pattern, a sequence of names, or one of addresses; and the cookies of option table 3. */
static int read_symbols(lua_State *L, struct lbpf_target *to, int idx, int options)
{
	if (lua_istable(L, idx)) {
		bool names = lua_rawgeti(L, idx, 1) == LUA_TSTRING;

		lua_pop(L, 1);
		if (names)
			to->syms = lbpf_attach_names(L, idx);
		else
			to->addrs = lbpf_attach_numbers(L, idx);
	} else {
		to->name = lbpf_arg_string(L, idx);
	}
	if (lua_istable(L, options) && lua_getfield(L, options, "cookies") != LUA_TNIL) {
		to->cookies = lbpf_attach_numbers(L, lua_gettop(L));
		if (to->cookies.count != to->syms.count + to->addrs.count)
			luaL_error(L, "option 'cookies' must have one for each of the functions listed");
	}
	return 0;
}

static int read_kprobe_multi(lua_State *L, struct lbpf_target *to)
{
	return read_symbols(L, to, 2, 3);
}

static int attach_kprobe_multi(struct lbpf_link *link, const struct bpf_program *prog, const struct lbpf_target *to)
{
	struct lbpf_kprobe_multi_opts opts;

	memset(&opts, 0, sizeof(opts));
	opts.sz = sizeof(opts);
	opts.syms = to->syms.names;
	opts.addrs = (const unsigned long *)to->addrs.numbers;
	opts.cookies = to->cookies.numbers;
	opts.cnt = to->syms.count + to->addrs.count;
	opts.retprobe = to->retprobe;
	opts.session = to->session;
	opts.unique_match = to->unique_match;
	return lbpf_attach_done(link,
				bpf_program__attach_kprobe_multi_opts(prog, to->name,
								      (const struct bpf_kprobe_multi_opts *)&opts));
}

static const struct lbpf_option ksyscall_options[] = {
	LBPF_TARGET_OPT(BOOL, retprobe),
	LBPF_TARGET_OPT(U64, bpf_cookie),
	{ NULL, LBPF_OPT_OTHER, 0 },
};

static int attach_ksyscall(struct lbpf_link *link, const struct bpf_program *prog, const struct lbpf_target *to)
{
	LIBBPF_OPTS(bpf_ksyscall_opts, opts, .bpf_cookie = to->bpf_cookie, .retprobe = to->retprobe);

	return lbpf_attach_done(link, bpf_program__attach_ksyscall(prog, to->name, &opts));
}

/* ---- functions and marks of processes ---- */

static const struct lbpf_option uprobe_options[] = {
	LBPF_TARGET_OPT(S32, pid),	  LBPF_TARGET_OPT(BOOL, retprobe),
	LBPF_TARGET_OPT(U64, offset),	  LBPF_TARGET_OPT(U64, ref_ctr_offset),
	LBPF_TARGET_OPT(U64, bpf_cookie), { NULL, LBPF_OPT_OTHER, 0 },
};

/* A path or the name of a library or program, and a function's name or an offset in the file. */
static int read_uprobe(lua_State *L, struct lbpf_target *to)
{
	to->path = lbpf_arg_string(L, 2);
	if (lua_type(L, 3) == LUA_TNUMBER)
		to->offset = (uint64_t)lbpf_arg_int(L, 3, 0, INT64_MAX);
	else
		to->func_name = lbpf_arg_string(L, 3);
	return 0;
}

static int attach_uprobe(struct lbpf_link *link, const struct bpf_program *prog, const struct lbpf_target *to)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .ref_ctr_offset = to->ref_ctr_offset, .bpf_cookie = to->bpf_cookie,
		    .retprobe = to->retprobe, .func_name = to->func_name);

	return lbpf_attach_done(link, bpf_program__attach_uprobe_opts(prog, to->pid, to->path, to->offset, &opts));
}

static const struct lbpf_option uprobe_multi_options[] = {
	LBPF_TARGET_OPT(S32, pid),	  LBPF_TARGET_OPT(BOOL, retprobe), LBPF_TARGET_OPT(BOOL, session),
	{ "cookies", LBPF_OPT_OTHER, 0 }, { NULL, LBPF_OPT_OTHER, 0 },
};

static int read_uprobe_multi(lua_State *L, struct lbpf_target *to)
{
	to->path = lbpf_arg_string(L, 2);
	return read_symbols(L, to, 3, 4);
}

static int attach_uprobe_multi(struct lbpf_link *link, const struct bpf_program *prog, const struct lbpf_target *to)
{
	struct lbpf_uprobe_multi_opts opts;

	memset(&opts, 0, sizeof(opts));
	opts.sz = sizeof(opts);
	opts.syms = to->syms.names;
	opts.offsets = (const unsigned long *)to->addrs.numbers;
	opts.cookies = to->cookies.numbers;
	opts.cnt = to->syms.count + to->addrs.count;
	opts.retprobe = to->retprobe;
	opts.session = to->session;
	return lbpf_attach_done(link, lbpf_newer_uprobe_multi(prog, to->pid, to->path, to->name, &opts));
}

static const struct lbpf_option usdt_options[] = {
	LBPF_TARGET_OPT(S32, pid),
	LBPF_TARGET_OPT(U64, usdt_cookie),
	{ NULL, LBPF_OPT_OTHER, 0 },
};

static int read_usdt(lua_State *L, struct lbpf_target *to)
{
	to->path = lbpf_arg_string(L, 2);
	to->provider = lbpf_arg_string(L, 3);
	to->name = lbpf_arg_string(L, 4);
	return 0;
}

static int attach_usdt(struct lbpf_link *link, const struct bpf_program *prog, const struct lbpf_target *to)
{
	LIBBPF_OPTS(bpf_usdt_opts, opts, .usdt_cookie = to->usdt_cookie);

	return lbpf_attach_done(link, bpf_program__attach_usdt(prog, to->pid, to->path, to->provider, to->name, &opts));
}

/* ---- tracepoints ---- */

static const struct lbpf_option tracepoint_options[] = {
	LBPF_TARGET_OPT(U64, bpf_cookie),
	{ NULL, LBPF_OPT_OTHER, 0 },
};

static int read_tracepoint(lua_State *L, struct lbpf_target *to)
{
	to->category = lbpf_arg_string(L, 2);
	to->name = lbpf_arg_string(L, 3);
	return 0;
}

static int attach_tracepoint(struct lbpf_link *link, const struct bpf_program *prog, const struct lbpf_target *to)
{
	LIBBPF_OPTS(bpf_tracepoint_opts, opts, .bpf_cookie = to->bpf_cookie);

	return lbpf_attach_done(link, bpf_program__attach_tracepoint_opts(prog, to->category, to->name, &opts));
}

static const struct lbpf_option cookie_options[] = {
	LBPF_TARGET_OPT(U64, cookie),
	{ NULL, LBPF_OPT_OTHER, 0 },
};

static int attach_raw_tracepoint(struct lbpf_link *link, const struct bpf_program *prog, const struct lbpf_target *to)
{
	struct lbpf_raw_tracepoint_opts opts;

	if (!to->cookie)
		return lbpf_attach_done(link, bpf_program__attach_raw_tracepoint(prog, to->name));
	if (!lbpf_newer_raw_tracepoint)
		return ENOSYS;
	memset(&opts, 0, sizeof(opts));
	opts.sz = sizeof(opts);
	opts.cookie = to->cookie;
	return lbpf_attach_done(link, lbpf_newer_raw_tracepoint(prog, to->name, &opts));
}

/* ---- hooks that the section names ---- */

static int attach_trace(struct lbpf_link *link, const struct bpf_program *prog, const struct lbpf_target *to)
{
	LIBBPF_OPTS(bpf_trace_opts, opts, .cookie = to->cookie);

	/* the libbpf that knows cookies of tp_btf is the one that has them of raw_tp */
	if (to->cookie && bpf_program__expected_attach_type(prog) == BPF_TRACE_RAW_TP && !lbpf_newer_raw_tracepoint)
		return ENOSYS;
	return lbpf_attach_done(link, bpf_program__attach_trace_opts(prog, &opts));
}

static int attach_lsm(struct lbpf_link *link, const struct bpf_program *prog, const struct lbpf_target *to)
{
	(void)to;
	return lbpf_attach_done(link, bpf_program__attach_lsm(prog));
}

/* A loaded program and the name of the function of it to replace. */
static int read_freplace(lua_State *L, struct lbpf_target *to)
{
	lbpf_program_check_loaded(L, 2);
	to->func_name = lbpf_arg_string(L, 3); /* makes a string of a number, which may run a finalizer */
	to->target = lbpf_program_check_loaded(L, 2);
	return 0;
}

static int attach_freplace(struct lbpf_link *link, const struct bpf_program *prog, const struct lbpf_target *to)
{
	int fd = lbpf_program_descriptor(to->target);

	return fd < 0 ? EBADF : lbpf_attach_done(link, bpf_program__attach_freplace(prog, fd, to->func_name));
}

/* ---- perf events ---- */

static const struct lbpf_option perf_event_options[] = {
	LBPF_TARGET_OPT(U64, bpf_cookie),
	{ NULL, LBPF_OPT_OTHER, 0 },
};

/* The descriptor of an open event, which stays the caller's, or a table that says which one to open. */
static int read_perf_event(lua_State *L, struct lbpf_target *to)
{
	if (lua_istable(L, 2))
		return lbpf_perfevent_open(L, 2, &to->fd2);
	to->fd = lbpf_descriptor_arg(L, 2);
	return 0;
}

/* Libbpf closes the event with the link: so it gets a descriptor of its own. */
static int attach_perf_event(struct lbpf_link *link, const struct bpf_program *prog, const struct lbpf_target *to)
{
	LIBBPF_OPTS(bpf_perf_event_opts, opts, .bpf_cookie = to->bpf_cookie);
	int fd = fcntl(to->fd2 >= 0 ? to->fd2 : to->fd, F_DUPFD_CLOEXEC, 0), err;

	if (fd < 0)
		return errno;
	link->at.event = fd;
	err = lbpf_attach_done(link, bpf_program__attach_perf_event_opts(prog, fd, &opts));
	if (err)
		close(fd);
	return err;
}

/* ---- iterators ---- */

static const struct lbpf_option iter_options[] = {
	{ "map", LBPF_OPT_OTHER, 0 },
	{ "cgroup", LBPF_OPT_OTHER, 0 },
	{ "order", LBPF_OPT_STRING, offsetof(struct lbpf_target, mode) },
	LBPF_TARGET_OPT(S32, pid),
	{ "tid", LBPF_OPT_OTHER, 0 },
	{ NULL, LBPF_OPT_OTHER, 0 },
};

static const struct lbpf_name iter_orders[] = {
	{ "self_only", 1 }, { "descendants_pre", 2 }, { "descendants_post", 3 }, { "ancestors_up", 4 }, { NULL, 0 },
};

/* The kernel's union bpf_iter_link_info, which headers before 6.1 know in part. */
struct iter_of_cgroup {
	uint32_t order, cgroup_fd;
	uint64_t cgroup_id;
};

struct iter_of_task {
	uint32_t tid, pid, pid_fd;
};

#define ITER_INFO_BYTES 32

/* What option table 2 says to go over: a map, a cgroup, a task; or everything. */
static int read_iter(lua_State *L, struct lbpf_target *to)
{
	uint8_t *info = lua_newuserdatauv(L, ITER_INFO_BYTES, 0);
	struct iter_of_cgroup cgroup = { .order = 1 };
	struct iter_of_task task = { 0 };
	int err = 0;

	memset(info, 0, ITER_INFO_BYTES);
	if (!lua_istable(L, 2))
		return 0;
	if (lua_getfield(L, 2, "map") != LUA_TNIL) {
		to->map = lbpf_map_check(L, lua_gettop(L), 0, "iterator");
		to->iter = (void *)info;
	}
	if (lua_getfield(L, 2, "cgroup") != LUA_TNIL) {
		int fd;

		err = lbpf_descriptor_path(L, lua_gettop(L), O_RDONLY, &fd);
		if (err)
			return err;
		cgroup.cgroup_fd = (uint32_t)fd;
		if (to->mode && lbpf_name_value(iter_orders, to->mode) < 0)
			lbpf_name_unknown(L, iter_orders, "order", to->mode);
		if (to->mode)
			cgroup.order = (uint32_t)lbpf_name_value(iter_orders, to->mode);
		memcpy(info, &cgroup, sizeof(cgroup));
		to->iter = (void *)info;
	}
	task.pid = to->pid > 0 ? (uint32_t)to->pid : 0;
	if (lua_getfield(L, 2, "tid") != LUA_TNIL)
		task.tid = (uint32_t)lbpf_arg_field(L, "attach_iter", "tid", 1, INT32_MAX);
	if (task.pid || task.tid) {
		memcpy(info, &task, sizeof(task));
		to->iter = (void *)info;
	}
	return 0;
}

static int attach_iter(struct lbpf_link *link, const struct bpf_program *prog, const struct lbpf_target *to)
{
	LIBBPF_OPTS(bpf_iter_attach_opts, opts, .link_info = to->iter,
		    .link_info_len = to->iter ? sizeof(union bpf_iter_link_info) : 0);
	uint32_t fd = to->map ? (uint32_t)to->map->fd : 0;

	if (to->map) /* the first member of what says which */
		memcpy(to->iter, &fd, sizeof(fd));
	return lbpf_attach_done(link, bpf_program__attach_iter(prog, &opts));
}

/* Programs that name what they are for in terms of BTF; the kernel takes all of them both ways. */
#define BTF_TYPES (LBPF_OF(TRACING) | LBPF_OF(LSM) | LBPF_OF(EXT))

/*** Attaches a kprobe or kretprobe program to a function of the kernel.
@function prog:attach_kprobe
@tparam string func name of the function
@tparam ?table options
- retprobe: true runs the program when the function returns
- offset: bytes from its start
- bpf_cookie: what bpf_get_attach_cookie gives (kernel 5.15)
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOENT (no such function, or no kprobes in this kernel), EINVAL, EPERM, …
@see bpf_program__attach_kprobe_opts */

/*** Attaches a kprobe.multi program to many functions of the kernel at once.
@function prog:attach_kprobe_multi
@tparam string|table functions a pattern such as "tcp_*", a sequence of names, or of addresses
@tparam ?table options
- retprobe: true runs the program when a function returns
- cookies: a sequence with one for each function listed
- session: true runs it at both ends (libbpf 1.5, kernel 6.10)
- unique_match: true refuses a pattern that more than one function matches (libbpf 1.6)
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOENT, EOPNOTSUPP, …
@see bpf_program__attach_kprobe_multi_opts
@since kernel 5.18 */

/*** Attaches a kprobe program to a system call, whatever the kernel calls its function.
@function prog:attach_ksyscall
@tparam string name such as "unlinkat"
@tparam ?table options retprobe, bpf_cookie, as of attach_kprobe
@treturn bpf.link the link
@treturn nil,string,string on failure
@see bpf_program__attach_ksyscall */

/*** Attaches a uprobe or uretprobe program to a function of programs and libraries.
@function prog:attach_uprobe
@tparam string path of the file, or the name of a program in $PATH or of a library ("libc.so.6")
@tparam string|integer func name of the function, or its offset in the file
@tparam ?table options
- pid: the one process, -1 for all (the default), 0 for this one
- retprobe: true runs the program when the function returns
- offset: bytes from the function's start
- ref_ctr_offset: of a semaphore to count up, in the file
- bpf_cookie: what bpf_get_attach_cookie gives (kernel 5.15)
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOENT (no such file or function), EINVAL, …
@see bpf_program__attach_uprobe_opts */

/*** Attaches a uprobe.multi program to many functions of a file at once.
@function prog:attach_uprobe_multi
@tparam string path of the file
@tparam string|table functions a pattern, a sequence of names, or of offsets
@tparam ?table options pid, retprobe, session (libbpf 1.6), and cookies, a sequence with one for each function listed
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOSYS (libbpf before 1.3), …
@see bpf_program__attach_uprobe_multi
@since kernel 6.6, libbpf 1.3 */

/*** Attaches a usdt program to marks that a program or library has of itself.
@function prog:attach_usdt
@tparam string path of the file
@tparam string provider
@tparam string name of the mark
@tparam ?table options
- pid: the one process, -1 for all (the default), 0 for this one
- usdt_cookie: what bpf_usdt_cookie gives
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOENT (no such mark), …
@see bpf_program__attach_usdt */

/*** Attaches a tracepoint program.
@function prog:attach_tracepoint
@tparam string category such as "syscalls"
@tparam string name such as "sys_enter_openat"
@tparam ?table options bpf_cookie, what bpf_get_attach_cookie gives (kernel 5.15)
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOENT (no such tracepoint, or no tracefs), EPERM, …
@see bpf_program__attach_tracepoint_opts */

/*** Attaches a raw_tp program to a tracepoint.
@function prog:attach_raw_tracepoint
@tparam string name such as "sys_enter"
@tparam ?table options cookie, what bpf_get_attach_cookie gives (kernel 6.9, libbpf 1.4)
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOENT, EPERM, …
@see bpf_program__attach_raw_tracepoint */

/*** Attaches a fentry, fexit, fmod_ret or tp_btf program where its section, or prog:attach_target, says.
@function prog:attach_trace
@tparam ?table options cookie, what bpf_get_attach_cookie gives (kernel 5.19; of tp_btf programs kernel 6.9 and libbpf
 1.4)
@treturn bpf.link the link
@treturn nil,string,string on failure
@see bpf_program__attach_trace_opts
@since kernel 5.5 */

/*** Attaches an lsm program to the hook that its section names.
@function prog:attach_lsm
@treturn bpf.link the link
@treturn nil,string,string on failure: EBUSY, EPERM, …
@see bpf_program__attach_lsm
@since kernel 5.7, with `bpf` among its LSMs */

/*** Attaches a perf_event program to an event: a counter that overflows.
@function prog:attach_perf_event
@tparam integer|table event a descriptor, which stays yours, or which event to open:
- type: "software", "hardware", "hw_cache", "tracepoint", "raw", or a number; found by config's name when left out
- config: a name such as "cpu_clock", "page_faults", "context_switches", "cpu_cycles", "instructions", "cache_misses",
  or a number
- sample_freq: how often a second, or sample_period: after how many
- pid: of a process, 0 for this one, -1 for all (the default); cpu: its number, -1 for all; one of both must be given
@tparam ?table options bpf_cookie, what bpf_get_attach_cookie gives (kernel 5.15)
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOENT, EOPNOTSUPP (no such counter here), EACCES, …
@see bpf_program__attach_perf_event_opts */

/*** Attaches a freplace program in place of a function of another program.
@function prog:attach_freplace
@tparam bpf.prog target loaded
@tparam string func name of its function
@treturn bpf.link the link
@treturn nil,string,string on failure
@see bpf_program__attach_freplace
@since kernel 5.10 */

/*** Attaches an iterator program; what it prints is read by link:lines, link:read and link:records.
@function prog:attach_iter
@tparam ?table options what to go over, where the program takes that:
- map: whose elements
- cgroup: path or descriptor, and order: "self_only" (the default), "descendants_pre", "descendants_post",
  "ancestors_up" (kernel 6.1)
- pid: whose threads, tid: the one thread (kernel 6.1)
@treturn bpf.link the link
@treturn nil,string,string on failure
@see bpf_program__attach_iter
@since kernel 5.8 */
const struct lbpf_way lbpf_ways_trace[] = {
	{ "attach_kprobe", lbpf_attach_read_name, 3, kprobe_options, attach_kprobe, LBPF_OF(KPROBE), NULL, NULL },
	{ "attach_kprobe_multi", read_kprobe_multi, 3, kprobe_multi_options, attach_kprobe_multi, LBPF_OF(KPROBE), NULL,
	  NULL },
	{ "attach_ksyscall", lbpf_attach_read_name, 3, ksyscall_options, attach_ksyscall, LBPF_OF(KPROBE), NULL, NULL },
	{ "attach_uprobe", read_uprobe, 4, uprobe_options, attach_uprobe, LBPF_OF(KPROBE), NULL, NULL },
	{ "attach_uprobe_multi", read_uprobe_multi, 4, uprobe_multi_options, attach_uprobe_multi, LBPF_OF(KPROBE),
	  "1.3", lbpf_newer_uprobe_multi },
	{ "attach_usdt", read_usdt, 5, usdt_options, attach_usdt, LBPF_OF(KPROBE), NULL, NULL },
	{ "attach_tracepoint", read_tracepoint, 4, tracepoint_options, attach_tracepoint,
	  LBPF_OF(TRACEPOINT) | LBPF_OF(KPROBE), NULL, NULL },
	{ "attach_raw_tracepoint", lbpf_attach_read_name, 3, cookie_options, attach_raw_tracepoint,
	  LBPF_OF(RAW_TRACEPOINT) | LBPF_OF(RAW_TRACEPOINT_WRITABLE), NULL, NULL },
	{ "attach_trace", lbpf_attach_read_nothing, 2, cookie_options, attach_trace, BTF_TYPES, NULL, NULL },
	{ "attach_lsm", lbpf_attach_read_nothing, 0, NULL, attach_lsm, BTF_TYPES, NULL, NULL },
	{ "attach_perf_event", read_perf_event, 3, perf_event_options, attach_perf_event,
	  LBPF_OF(PERF_EVENT) | LBPF_OF(TRACEPOINT) | LBPF_OF(KPROBE), NULL, NULL },
	{ "attach_freplace", read_freplace, 0, NULL, attach_freplace, LBPF_OF(EXT), NULL, NULL },
	{ "attach_iter", read_iter, 2, iter_options, attach_iter, LBPF_OF(TRACING), NULL, NULL },
	{ NULL, NULL, 0, NULL, NULL, 0, NULL, NULL },
};
