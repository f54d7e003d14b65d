/* SPDX-License-Identifier: MIT */
/* Attaching programs: the rows that say how, and what they have in common. */
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

/* A list given in place of a name or pattern, or beside it; the memory is kept by the Lua stack. */
struct lbpf_list {
	union {
		const char **names;
		uint64_t *numbers;
	};
	size_t count;
};

/* What arguments and options come to. Each row uses its part; options have libbpf's names. */
struct lbpf_target {
	const char *category, *name, *path, *provider, *func_name, *mode;
	struct lbpf_list syms, addrs, cookies;
	const struct lbpf_map *map;	   /* these two are on the stack; whether they are still open is */
	const struct lbpf_program *target; /* looked at when nothing is allocated any more */
	int ifindex, fd;
	int32_t pid;
	struct lbpf_event *event; /* to be opened; NULL: fd is one */
	uint64_t offset, ref_ctr_offset;
	uint64_t bpf_cookie, cookie, usdt_cookie;
	uint64_t sample_freq, sample_period;
	uint64_t priority;
	uint32_t flags, handle, pf, hooknum, point, relative_id, relative_fd;
	int32_t netfilter_priority;
	uint64_t expected_revision;
	const char *attach_type; /* of a program whose section doesn't say it; and its number, -1 without */
	int type;
	bool retprobe, session, unique_match, replace;
	union bpf_iter_link_info *iter; /* NULL: of everything */
};

/* One way to attach. Reading may raise, and returns an errno where the world refuses, with the reason in words at the
 * top of the stack or nil. Attaching stores what there is to close in the link, and returns an errno. */
struct lbpf_way {
	const char *method;
	int (*read)(lua_State *L, struct lbpf_target *to); /* arguments from stack index 2 on */
	int options_at;					   /* argument that is the table of options; 0: none */
	const struct lbpf_option *options;
	int (*attach)(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to);
	/* The same for a program that was opened by pin or id, which libbpf has no struct for, or whose attach type is
	 * an option; NULL: libbpf can't. */
	int (*opened)(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to);
	/* Pushes or returns why the kernel or libbpf refused, in words, or NULL. */
	const char *(*cause)(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to, int err);
	uint64_t types;	    /* of programs that the kernel takes here, LBPF_OF each; 0: libbpf knows */
	const char *libbpf; /* the version that has it, when that isn't 1.1 */
	const void *symbol; /* then: NULL if this libbpf is older */
};

#define LBPF_OF(type) (UINT64_C(1) << BPF_PROG_TYPE_##type)

#define LBPF_TARGET_OPT(kind, name) LBPF_OPTION(kind, struct lbpf_target, name)

extern const struct lbpf_way lbpf_ways_trace[]; /* attachtrace.c; rows end with a NULL method */
extern const struct lbpf_way lbpf_ways_iter[];	/* attachiter.c */
extern const struct lbpf_way lbpf_ways_user[];	/* attachuser.c */
extern const struct lbpf_way lbpf_ways_net[];	/* attachnet.c */
extern const struct lbpf_way lbpf_ways_tc[];	/* attachtc.c */

/* Readers that several files use. */
int lbpf_attach_read_nothing(lua_State *L, struct lbpf_target *to);
int lbpf_attach_read_name(lua_State *L, struct lbpf_target *to);

/* An interface by index or name, argument 2. */
int lbpf_attach_interface(lua_State *L, struct lbpf_target *to);

/* Where in a list of programs: the options, what option table 3 says of them, and libbpf's form of it. */
extern const struct lbpf_option lbpf_mprog_options[];
void lbpf_attach_read_mprog(lua_State *L, struct lbpf_target *to);
struct lbpf_mprog_opts lbpf_attach_mprog(const struct lbpf_target *to);

/* Functions at idx: a pattern, a sequence of names, or one of addresses; and the cookies of the table at `options`. */
int lbpf_attach_symbols(lua_State *L, struct lbpf_target *to, int idx, int options);

/* Stores libbpf's link; returns an errno. */
int lbpf_attach_done(struct lbpf_link *link, struct bpf_link *made);

/* Reads a sequence of names or of integers at idx. */
struct lbpf_list lbpf_attach_names(lua_State *L, int idx);
struct lbpf_list lbpf_attach_numbers(lua_State *L, int idx);

/* ---- attachuser.c ---- */

/* Attaches a program whose section names a function of a file, SEC("uprobe/<path>:<function>"). Returns 0, an errno, or
 * -1 for other sections, which libbpf attaches. */
int lbpf_attach_user_section(struct lbpf_link *link, const struct lbpf_program *p);

/* Pushes why it failed, for SEC("usdt/…") as well, or returns NULL. */
const char *lbpf_attach_user_cause(lua_State *L, const struct lbpf_program *p, int err);

/* ---- attachopened.c: programs without a struct of libbpf's ---- */

int lbpf_opened_interface(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to);
int lbpf_opened_netfilter(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to);
int lbpf_opened_target(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to);
int lbpf_opened_raw_tracepoint(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to);
int lbpf_opened_hook(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to);
int lbpf_opened_freplace(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to);
int lbpf_opened_iter(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to);

/* The attach type of an opened program: the option's, or the only one of its type of programs; -1 if there are several.
 */
int lbpf_opened_type(const struct lbpf_program *p, const struct lbpf_target *to);

/* The cause where it is that. */
const char *lbpf_opened_cause(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to, int err);

/* ---- attachcause.c: each pushes or returns why it failed, or NULL, as lbpf_way.cause does ---- */

const char *lbpf_attachcause_section(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to, int err);
const char *lbpf_attachcause_kprobe(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to, int err);
const char *lbpf_attachcause_kprobe_multi(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to,
					  int err);
const char *lbpf_attachcause_freplace(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to,
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

/* Says what a list of programs refused, in tcx and netkit; or NULL. */
const char *lbpf_attachcause_mprog(int err);

/* Pushes that the interface isn't there, or returns NULL. */
const char *lbpf_attachcause_interface(lua_State *L, const struct lbpf_target *to);

/* Says that what the descriptor is of is no cgroup that programs attach to, or NULL. */
const char *lbpf_no_cgroup(int fd);

/* The section doesn't say where to attach. */
#define LBPF_ATTACH_NOWHERE (-1)

/* What a way returns in place of an errno where the options need libbpf 1.<minor>, and this one is older. */
#define LBPF_ATTACH_NEEDS(minor) (-1000 - (minor))

/* Attaches the program at prog_idx by its section, for the owner at stack index `owner`. Pushes the link and returns 0,
 * or nil, message and code and returns an errno or LBPF_ATTACH_NOWHERE. */
int lbpf_attach_auto(lua_State *L, int prog_idx, int owner);

void lbpf_attach_open(lua_State *L);

LBPF_HIDDEN_END

#endif
