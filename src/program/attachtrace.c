/* SPDX-License-Identifier: MIT */
/* Ways to attach programs that trace: probes of the kernel, tracepoints, perf events, and functions of the kernel. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <lauxlib.h>

#include "base/cpuset.h"
#include "base/newer.h"
#include "map/descriptor.h"
#include "program/attach.h"
#include "program/perfevent.h"
#include "program/program.h"

/* ---- kernel functions ---- */

static const struct lbpf_option kprobe_options[] = {
	LBPF_TARGET_OPT(BOOL, retprobe),
	LBPF_TARGET_OPT(U64, offset),
	LBPF_TARGET_OPT(U64, bpf_cookie),
	{ NULL, LBPF_OPT_OTHER, 0 },
};

static int attach_kprobe(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	LIBBPF_OPTS(bpf_kprobe_opts, opts, .bpf_cookie = to->bpf_cookie, .offset = to->offset,
		    .retprobe = to->retprobe);

	return lbpf_attach_done(link, bpf_program__attach_kprobe_opts(p->prog, to->name, &opts));
}

static const struct lbpf_option kprobe_multi_options[] = {
	LBPF_TARGET_OPT(BOOL, retprobe),  LBPF_TARGET_OPT(BOOL, session), LBPF_TARGET_OPT(BOOL, unique_match),
	{ "cookies", LBPF_OPT_OTHER, 0 }, { NULL, LBPF_OPT_OTHER, 0 },
};

static int read_kprobe_multi(lua_State *L, struct lbpf_target *to)
{
	return lbpf_attach_symbols(L, to, 2, 3);
}

static int attach_kprobe_multi(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
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
				bpf_program__attach_kprobe_multi_opts(p->prog, to->name,
								      (const struct bpf_kprobe_multi_opts *)&opts));
}

static const struct lbpf_option ksyscall_options[] = {
	LBPF_TARGET_OPT(BOOL, retprobe),
	LBPF_TARGET_OPT(U64, bpf_cookie),
	{ NULL, LBPF_OPT_OTHER, 0 },
};

static int attach_ksyscall(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	LIBBPF_OPTS(bpf_ksyscall_opts, opts, .bpf_cookie = to->bpf_cookie, .retprobe = to->retprobe);

	return lbpf_attach_done(link, bpf_program__attach_ksyscall(p->prog, to->name, &opts));
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

static int attach_tracepoint(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	LIBBPF_OPTS(bpf_tracepoint_opts, opts, .bpf_cookie = to->bpf_cookie);

	return lbpf_attach_done(link, bpf_program__attach_tracepoint_opts(p->prog, to->category, to->name, &opts));
}

static const struct lbpf_option cookie_options[] = {
	LBPF_TARGET_OPT(U64, cookie),
	{ NULL, LBPF_OPT_OTHER, 0 },
};

static int attach_raw_tracepoint(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	struct lbpf_raw_tracepoint_opts opts;

	if (!to->cookie)
		return lbpf_attach_done(link, bpf_program__attach_raw_tracepoint(p->prog, to->name));
	if (!lbpf_newer_raw_tracepoint)
		return lbpf_opened_raw_tracepoint(link, p, to);
	memset(&opts, 0, sizeof(opts));
	opts.sz = sizeof(opts);
	opts.cookie = to->cookie;
	return lbpf_attach_done(link, lbpf_newer_raw_tracepoint(p->prog, to->name, &opts));
}

/* ---- hooks that the section names ---- */

static int attach_trace(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	LIBBPF_OPTS(bpf_trace_opts, opts, .cookie = to->cookie);

	/* libbpf supports cookies of tp_btf since the same version as those of raw_tp */
	if (to->cookie && bpf_program__expected_attach_type(p->prog) == BPF_TRACE_RAW_TP && !lbpf_newer_raw_tracepoint)
		return LBPF_ATTACH_NEEDS(4);
	return lbpf_attach_done(link, bpf_program__attach_trace_opts(p->prog, &opts));
}

static int attach_lsm(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	(void)to;
	return lbpf_attach_done(link, bpf_program__attach_lsm(p->prog));
}

/* Reads the arguments of attach_freplace: a loaded program, and the name of its function to replace. */
static int read_freplace(lua_State *L, struct lbpf_target *to)
{
	lbpf_program_check_loaded(L, 2);
	/* Converts a number to a string, which may run a finalizer. */
	to->func_name = lbpf_arg_string(L, 3);
	to->target = lbpf_program_check_loaded(L, 2);
	return 0;
}

static int attach_freplace(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	int fd = lbpf_program_descriptor(to->target);

	return fd < 0 ? EBADF : lbpf_attach_done(link, bpf_program__attach_freplace(p->prog, fd, to->func_name));
}

/* ---- perf events ---- */

static const struct lbpf_option perf_event_options[] = {
	LBPF_TARGET_OPT(U64, bpf_cookie),
	{ NULL, LBPF_OPT_OTHER, 0 },
};

/* Reads the argument of attach_perf_event: the descriptor of an open event, which the script keeps owning, or a table
 * that describes an event to open. */
static int read_perf_event(lua_State *L, struct lbpf_target *to)
{
	if (lua_istable(L, 2))
		to->event = lbpf_perfevent_read(L, 2);
	else
		to->fd = lbpf_descriptor_arg(L, 2);
	return 0;
}

/* Attaches to an open event, and closes the event if that fails. libbpf closes the event with its link. A kernel link
 * for which libbpf has no struct keeps the event alive itself. */
static int attach_event(struct lbpf_part *part, const struct lbpf_program *p, int event, uint64_t cookie)
{
	LIBBPF_OPTS(bpf_perf_event_opts, opts, .bpf_cookie = cookie);
	int err = 0;

	part->event = event;
	if (p->prog) {
		part->link = bpf_program__attach_perf_event_opts(p->prog, event, &opts);
		err = part->link ? 0 : errno;
	} else {
		LIBBPF_OPTS(bpf_link_create_opts, create, .perf_event.bpf_cookie = cookie);

		part->fd = bpf_link_create(p->fd, event, BPF_PERF_EVENT, &create);
		err = part->fd < 0 || ioctl(event, PERF_EVENT_IOC_ENABLE, 0) ? errno : 0;
	}
	if (err || !p->prog) {
		close(event);
		part->event = -1;
	}
	return err;
}

/* A sampling program gets the samples of one thread per event. A program on a probe or tracepoint runs for all
 * threads. */
static bool samples(const struct lbpf_program *p)
{
	return (p->prog ? (uint32_t)bpf_program__type(p->prog) : p->type) == BPF_PROG_TYPE_PERF_EVENT;
}

/* One event for each thread. Threads that have ended meanwhile are skipped. */
static int attach_threads(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	struct lbpf_part *part;
	int32_t *tids;
	size_t count, done = 0;
	int err = lbpf_perfevent_threads(to->event->pid, &tids, &count);

	for (size_t i = 0; i < count && !err; i++) {
		int event = lbpf_perfevent_open_thread(to->event, tids[i]);

		if (event < 0 && errno == ESRCH)
			continue;
		part = event < 0 ? NULL : lbpf_link_add(link);
		err = part ? attach_event(part, p, event, to->bpf_cookie) : errno;
		if (!part && event >= 0)
			close(event);
		done++;
	}
	free(tids);
	return err || done ? err : ESRCH;
}

/* One event for each CPU. CPUs that went offline meanwhile are skipped. A probe or tracepoint runs its program on every
 * CPU, so one event is enough there. */
static int attach_online(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	struct lbpf_cpuset online;
	struct lbpf_part *part;
	bool done = false;
	int err = lbpf_cpuset_read(&online, "online");

	for (uint32_t cpu = 0; cpu < LBPF_CPUSET_CPUS && !err && (!done || samples(p)); cpu++) {
		int event;

		if (!lbpf_cpuset_has(&online, cpu))
			continue;
		event = lbpf_perfevent_open_cpu(to->event, cpu);
		if (event < 0 && errno == ENODEV)
			continue;
		part = event < 0 ? NULL : lbpf_link_add(link);
		err = part ? attach_event(part, p, event, to->bpf_cookie) : errno;
		if (!part && event >= 0)
			close(event);
		done = true;
	}
	return err || done ? err : ENODEV;
}

static int attach_perf_event(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	const struct lbpf_event *event = to->event;
	int fd;

	if (event && event->pid >= 0 && samples(p))
		return attach_threads(link, p, to);
	if (event && event->online)
		return attach_online(link, p, to);
	if (event)
		fd = lbpf_perfevent_open(event, event->tid >= 0 ? event->tid : event->pid);
	else
		fd = fcntl(to->fd, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? errno : attach_event(&link->first, p, fd, to->bpf_cookie);
}

/* Programs that name their target by BTF. The kernel attaches all of them by both system calls. */
#define BTF_TYPES (LBPF_OF(TRACING) | LBPF_OF(LSM) | LBPF_OF(EXT))

/*** Attaches a kprobe or kretprobe program to a function of the kernel.
@function prog:attach_kprobe
@tparam string func name of the function
@tparam ?table options
- retprobe: true runs the program when the function returns
- offset: bytes from the function's start
- bpf_cookie: what bpf_get_attach_cookie returns in the program (kernel 5.15)
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOENT (the kernel has no such function, or no kprobes), EINVAL, EPERM, …
@usage not run: not every kernel has kprobes
local link <close> = assert(obj.progs.on_unlink:attach_kprobe("do_unlinkat", { retprobe = true }))
@see bpf_program__attach_kprobe_opts */

/*** Attaches a kprobe.multi program to many functions of the kernel with one system call.
@function prog:attach_kprobe_multi
@tparam string|table functions a pattern such as "tcp_*", a sequence of names, or a sequence of addresses
@tparam ?table options
- retprobe: true runs the program when a function returns
- cookies: a sequence with one cookie for each function listed
- session: true runs the program at both ends of a function (libbpf 1.5, kernel 6.10)
- unique_match: true refuses a pattern that more than one function matches (libbpf 1.6)
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOENT, EOPNOTSUPP, …
@usage not run: not every kernel has kprobes
local link <close> = assert(obj.progs.on_any:attach_kprobe_multi("vfs_*"))
local two <close> = assert(obj.progs.on_some:attach_kprobe_multi({ "vfs_read", "vfs_write" }, { cookies = { 1, 2 } }))
@see bpf_program__attach_kprobe_multi_opts
@since kernel 5.18 */

/*** Attaches a kprobe program to a system call. You name the system call; libbpf finds the kernel's function for it.
@function prog:attach_ksyscall
@tparam string name such as "unlinkat"
@tparam ?table options
- retprobe, bpf_cookie: as in prog:attach_kprobe
@treturn bpf.link the link
@treturn nil,string,string on failure
@usage not run: not every kernel has kprobes
local link <close> = assert(obj.progs.on_unlink:attach_ksyscall("unlinkat"))
@see bpf_program__attach_ksyscall */

/*** Attaches a tracepoint program to a tracepoint. This needs a mounted tracefs.
@function prog:attach_tracepoint
@tparam string category such as "syscalls"
@tparam string name such as "sys_enter_openat"
@tparam ?table options
- bpf_cookie: what bpf_get_attach_cookie returns in the program (kernel 5.15)
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOENT (no such tracepoint, or no tracefs), E2BIG (it has 64 programs), EPERM, …
@usage not run: it needs a mounted tracefs
local link <close> = assert(obj.progs.on_open:attach_tracepoint("syscalls", "sys_enter_openat"))
@see bpf_program__attach_tracepoint_opts */

/*** Attaches a raw_tp program to a tracepoint. This needs no tracefs.
@function prog:attach_raw_tracepoint
@tparam string name such as "sys_enter"
@tparam ?table options
- cookie: what bpf_get_attach_cookie returns in the program (kernel 6.9)
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOENT, EPERM, …
@usage
local link = assert(obj.progs.on_raw:attach_raw_tracepoint("sys_enter"))
link:close()
@see bpf_program__attach_raw_tracepoint */

/*** Attaches a fentry, fexit, fmod_ret or tp_btf program to the function or tracepoint that its section or
prog:attach_target names.
@function prog:attach_trace
@tparam ?table options
- cookie: what bpf_get_attach_cookie returns in the program (kernel 5.19; for tp_btf programs kernel 6.9 and libbpf 1.4)
@treturn bpf.link the link
@treturn nil,string,string on failure
@usage
local link = assert(obj.progs.on_enter:attach_trace()) -- SEC("tp_btf/sys_enter")
link:close()
@see bpf_program__attach_trace_opts
@since kernel 5.5 */

/*** Attaches an lsm program to the hook that its section names.
@function prog:attach_lsm
@treturn bpf.link the link
@treturn nil,string,string on failure: EBUSY, EPERM, …
@usage not run: hardened kernels refuse such programs
local link <close> = assert(obj.progs.no_renames:attach_lsm()) -- SEC("lsm/inode_rename")
@see bpf_program__attach_lsm
@since kernel 5.7, with `bpf` among its LSMs */

/*** Attaches a perf_event program to a perf event. The program runs each time that the event's counter overflows.
@function prog:attach_perf_event
@tparam integer|table event a descriptor, which the caller still has to close, or a table that names the event to open:
- type: "software", "hardware", "hw_cache", "tracepoint", "raw", or a number; by default the type that config names
- config: a name such as "cpu_clock", "page_faults", "context_switches", "cpu_cycles", "instructions", "cache_misses",
  or a number
- sample_freq: how many times a second the program runs
- sample_period: after how many events the program runs, in place of sample_freq
- pid: the process to watch, with all its threads, including those that it starts later; 0 for this one, -1 for all
  processes (the default)
- tid: the one thread to watch, in place of pid; 0 for this one
- cpu: the number of the CPU to watch, -1 for all; or "online": all processes, on each CPU that is online now, with one
  link for all of them. One of pid, tid and cpu must be given
- inherit: true also watches processes that are started from then on (kernels before 5.13 do so with pid in any case)
@tparam ?table options
- bpf_cookie: what bpf_get_attach_cookie returns in the program (kernel 5.15)
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOENT, EOPNOTSUPP (this machine has no such counter), EACCES, …
@usage
local link = assert(obj.progs.on_event:attach_perf_event({ config = "cpu_clock", sample_freq = 99, pid = 0 }))
link:close()
@see bpf_program__attach_perf_event_opts */

/*** Attaches a freplace program in place of a function of another program.
@function prog:attach_freplace
@tparam bpf.prog target the other program, which is loaded
@tparam string func name of the function
@treturn bpf.link the link
@treturn nil,string,string on failure
@usage not run: hardened kernels refuse such programs
local link <close> = assert(obj.progs.instead:attach_freplace(filter.progs.on_packet, "verdict"))
@see bpf_program__attach_freplace
@since kernel 5.10 */

const struct lbpf_way lbpf_ways_trace[] = {
	{ .method = "attach_kprobe",
	  .read = lbpf_attach_read_name,
	  .options_at = 3,
	  .options = kprobe_options,
	  .attach = attach_kprobe,
	  .cause = lbpf_attachcause_kprobe,
	  .types = LBPF_OF(KPROBE) },
	{ .method = "attach_kprobe_multi",
	  .read = read_kprobe_multi,
	  .options_at = 3,
	  .options = kprobe_multi_options,
	  .attach = attach_kprobe_multi,
	  .cause = lbpf_attachcause_kprobe_multi,
	  .types = LBPF_OF(KPROBE) },
	{ .method = "attach_ksyscall",
	  .read = lbpf_attach_read_name,
	  .options_at = 3,
	  .options = ksyscall_options,
	  .attach = attach_ksyscall,
	  .cause = lbpf_attachcause_kprobe,
	  .types = LBPF_OF(KPROBE) },
	{ .method = "attach_tracepoint",
	  .read = read_tracepoint,
	  .options_at = 4,
	  .options = tracepoint_options,
	  .attach = attach_tracepoint,
	  .cause = lbpf_attachcause_tracepoint,
	  .types = LBPF_OF(TRACEPOINT) | LBPF_OF(KPROBE) },
	{ .method = "attach_raw_tracepoint",
	  .read = lbpf_attach_read_name,
	  .options_at = 3,
	  .options = cookie_options,
	  .attach = attach_raw_tracepoint,
	  .opened = lbpf_opened_raw_tracepoint,
	  .cause = lbpf_attachcause_raw_tracepoint,
	  .types = LBPF_OF(RAW_TRACEPOINT) | LBPF_OF(RAW_TRACEPOINT_WRITABLE) },
	{ .method = "attach_trace",
	  .read = lbpf_attach_read_nothing,
	  .options_at = 2,
	  .options = cookie_options,
	  .attach = attach_trace,
	  .opened = lbpf_opened_hook,
	  .types = BTF_TYPES },
	{ .method = "attach_lsm",
	  .read = lbpf_attach_read_nothing,
	  .attach = attach_lsm,
	  .opened = lbpf_opened_hook,
	  .types = BTF_TYPES },
	{ .method = "attach_perf_event",
	  .read = read_perf_event,
	  .options_at = 3,
	  .options = perf_event_options,
	  .attach = attach_perf_event,
	  .opened = attach_perf_event,
	  .cause = lbpf_attachcause_perf_event,
	  .types = LBPF_OF(PERF_EVENT) | LBPF_OF(TRACEPOINT) | LBPF_OF(KPROBE) },
	{ .method = "attach_freplace",
	  .read = read_freplace,
	  .attach = attach_freplace,
	  .opened = lbpf_opened_freplace,
	  .cause = lbpf_attachcause_freplace,
	  .types = LBPF_OF(EXT) },
	{ .method = NULL },
};
