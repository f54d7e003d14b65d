/* SPDX-License-Identifier: MIT */
/* Attaching programs: the table of ways to attach, and what the ways share. */
#ifndef LBPF_PROGRAM_ATTACH_H
#define LBPF_PROGRAM_ATTACH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <bpf/libbpf.h>

#include "base/arg.h"
#include "base/compat.h"
#include "base/newer.h"
#include "program/link.h"

LBPF_HIDDEN_BEGIN

struct lbpf_event;
struct lbpf_map;
struct lbpf_program;

/* A list that a script gives in place of a name or pattern, or in addition to it. A value on the Lua stack keeps its
 * memory. */
struct lbpf_list {
	union {
		const char **names;
		uint64_t *numbers;
	};
	size_t count;
};

/* Where and how to attach: what the arguments and options of any attach method say. Each way uses its own part. Options
 * have the names that libbpf gives them. */
struct lbpf_target {
	/* of several ways */
	const char *name, *mode;
	int ifindex, fd;
	int32_t pid;
	uint32_t flags;
	bool replace;
	const char *replaced; /* replace the program of this name only; NULL: any, if `replace` is set */
	uint64_t bpf_cookie;
	/* Of a program whose section doesn't determine its attach type; `type` is the number, or -1. */
	const char *attach_type;
	int type;
	/* The map, or the other program, to attach to. Values on the Lua stack keep them alive. A finalizer may close
	 * them, so whether they are open is checked after the last allocation. */
	const struct lbpf_map *map;
	const struct lbpf_program *target;

	/* functions of the kernel and of processes */
	const char *path, *provider, *func_name;
	uint64_t offset, ref_ctr_offset, usdt_cookie;
	struct lbpf_list syms, addrs, cookies;
	bool retprobe, session, unique_match;

	/* tracepoints, perf events, iterators */
	const char *category;
	uint64_t cookie;
	struct lbpf_event *event;	/* the perf event to open; NULL: fd is an open one */
	union bpf_iter_link_info *iter; /* what an iterator goes over; NULL: everything */

	/* the network: xdp, netfilter, tc */
	bool netlink;
	uint32_t pf, hooknum;
	int32_t netfilter_priority;
	uint32_t handle, point;
	uint64_t priority;

	/* where in a list of programs */
	uint32_t relative_id, relative_fd;
	uint64_t expected_revision;
};

/* One way to attach.
 *
 * `read` reads arguments and options. It may raise. If the system refuses something, for example a path that doesn't
 * exist, it returns an errno, with the reason in words, or nil, at the top of the stack.
 *
 * `attach` attaches and stores in the link what is to be closed. It returns 0 or an errno. */
struct lbpf_way {
	const char *method;
	int (*read)(lua_State *L, struct lbpf_target *to); /* reads arguments from stack index 2 on */
	int options_at;					   /* the argument that is the table of options; 0: none */
	const struct lbpf_option *options;
	int (*attach)(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to);
	/* Attaches a program for which libbpf's function can't be used: one that was opened by pin or id, for which
	 * libbpf has no struct, or one whose attach type is given as an option. NULL: not possible. */
	int (*opened)(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to);
	/* Pushes or returns the reason in words why the kernel or libbpf refused, or returns NULL. */
	const char *(*cause)(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to, int err);
	/* Program types that the kernel accepts here, as bits LBPF_OF; 0: libbpf checks the type. */
	uint64_t types;
	const char *libbpf; /* the libbpf version that has the function, if it is newer than 1.1 */
	const void *symbol; /* then: the function, which is NULL if this libbpf is older */
};

#define LBPF_OF(type) (UINT64_C(1) << BPF_PROG_TYPE_##type)

#define LBPF_TARGET_OPT(kind, name) LBPF_OPTION(kind, struct lbpf_target, name)

extern const struct lbpf_way lbpf_ways_trace[]; /* attachtrace.c; rows end with a NULL method */
extern const struct lbpf_way lbpf_ways_iter[];	/* attachiter.c */
extern const struct lbpf_way lbpf_ways_user[];	/* attachuser.c */
extern const struct lbpf_way lbpf_ways_net[];	/* attachnet.c */
extern const struct lbpf_way lbpf_ways_tc[];	/* attachtc.c */

/* `read` functions that several files use. */
int lbpf_attach_read_nothing(lua_State *L, struct lbpf_target *to);
int lbpf_attach_read_name(lua_State *L, struct lbpf_target *to);

/* Reads argument 2, an interface by index or name. */
int lbpf_attach_interface(lua_State *L, struct lbpf_target *to);

/* Options for the place in a list of programs: the rows of options, reading them from the table at 3, and converting
 * them to libbpf's struct. */
extern const struct lbpf_option lbpf_mprog_options[];
void lbpf_attach_read_mprog(lua_State *L, struct lbpf_target *to);
struct lbpf_mprog_opts lbpf_attach_mprog(const struct lbpf_target *to);

/* Reads functions at idx: a pattern, a sequence of names, or a sequence of addresses; and the cookies in the table at
 * stack index `options`. */
int lbpf_attach_symbols(lua_State *L, struct lbpf_target *to, int idx, int options);

/* Stores the link that libbpf made, if it did. Returns 0 or an errno. */
int lbpf_attach_done(struct lbpf_link *link, struct bpf_link *made);

/* Read a sequence of names, or of integers, at idx. */
struct lbpf_list lbpf_attach_names(lua_State *L, int idx);
struct lbpf_list lbpf_attach_numbers(lua_State *L, int idx);

/* ---- attachuser.c ---- */

/* Attaches a program whose section names a function of a file, SEC("uprobe/<path>:<function>"). Returns 0, an errno, or
 * -1 for other sections, which libbpf attaches itself. */
int lbpf_attach_user_section(struct lbpf_link *link, const struct lbpf_program *p);

/* Pushes why attaching failed, also for SEC("usdt/…"), or returns NULL. */
const char *lbpf_attach_user_cause(lua_State *L, const struct lbpf_program *p, int err);

/* ---- attachopened.c: programs for which libbpf has no struct ---- */

int lbpf_opened_interface(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to);
int lbpf_opened_netfilter(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to);
int lbpf_opened_target(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to);
int lbpf_opened_raw_tracepoint(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to);
int lbpf_opened_hook(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to);
int lbpf_opened_freplace(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to);
int lbpf_opened_iter(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to);

/* The attach type of an opened program: the option's, or the only one that its program type has. -1 if its type has
 * several. */
int lbpf_opened_type(const struct lbpf_program *p, const struct lbpf_target *to);

/* The cause, if attaching failed because the attach type isn't known. */
const char *lbpf_opened_cause(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to, int err);

/* ---- attachcause.c: each pushes or returns why attaching failed, or returns NULL, as lbpf_way.cause does ---- */

const char *lbpf_attachcause_section(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to, int err);
const char *lbpf_attachcause_kprobe(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to, int err);
const char *lbpf_attachcause_kprobe_multi(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to,
					  int err);
const char *lbpf_attachcause_freplace(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to,
				      int err);
const char *lbpf_attachcause_tracepoint(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to,
					int err);
const char *lbpf_attachcause_raw_tracepoint(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to,
					    int err);
const char *lbpf_attachcause_perf_event(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to,
					int err);
const char *lbpf_attachcause_iter(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to, int err);
const char *lbpf_attachcause_xdp(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to, int err);
const char *lbpf_attachcause_netfilter(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to,
				       int err);
const char *lbpf_attachcause_netns(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to, int err);
const char *lbpf_attachcause_cgroup(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to, int err);
const char *lbpf_attachcause_socket(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to, int err);
const char *lbpf_attachcause_reuseport(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to,
				       int err);

/* Returns what the errno means for a list of programs, in tcx and netkit; or NULL. */
const char *lbpf_attachcause_mprog(int err);

/* Pushes that the interface doesn't exist, or returns NULL. */
const char *lbpf_attachcause_interface(lua_State *L, const struct lbpf_target *to);

/* Returns that the descriptor refers to no cgroup that programs can be attached to, or NULL. */
const char *lbpf_no_cgroup(int fd);

/* The section doesn't name a place to attach to. */
#define LBPF_ATTACH_NOWHERE (-1)

/* What `attach` returns in place of an errno if the options need libbpf 1.<minor>, and this libbpf is older. */
#define LBPF_ATTACH_NEEDS(minor) (-1000 - (minor))

/* Attaches the program at prog_idx by its section; the link belongs to the owner at stack index `owner`. Pushes the
 * link and returns 0. After a failure pushes nil, message and code, and returns an errno or LBPF_ATTACH_NOWHERE. */
int lbpf_attach_auto(lua_State *L, int prog_idx, int owner);

LBPF_OPENER lbpf_attach_open(lua_State *L);

LBPF_HIDDEN_END

#endif
