/* SPDX-License-Identifier: MIT */
/* Attaching programs: the rows that say how, and what they have in common. */
#ifndef LBPF_ATTACH_H
#define LBPF_ATTACH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <bpf/libbpf.h>

#include "arg.h"
#include "compat.h"
#include "link.h"

LBPF_HIDDEN_BEGIN

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
	int ifindex, fd, fd2;
	int32_t pid, cpu;
	uint64_t offset, ref_ctr_offset;
	uint64_t bpf_cookie, cookie, usdt_cookie;
	uint64_t sample_freq, sample_period;
	uint32_t flags, handle, priority, pf, hooknum, point, relative_id, relative_fd;
	int32_t netfilter_priority;
	uint64_t expected_revision;
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
	int (*attach)(struct lbpf_link *link, const struct bpf_program *prog, const struct lbpf_target *to);
	uint64_t types;	    /* of programs that the kernel takes here, LBPF_OF each; 0: libbpf knows */
	const char *libbpf; /* the version that has it, when that isn't 1.1 */
	const void *symbol; /* then: NULL if this libbpf is older */
};

#define LBPF_OF(type) (UINT64_C(1) << BPF_PROG_TYPE_##type)

#define LBPF_TARGET_OPT(kind, name)                                        \
	{                                                                  \
#name, LBPF_OPT_##kind, offsetof(struct lbpf_target, name) \
	}

extern const struct lbpf_way lbpf_ways_trace[]; /* attachtrace.c; rows end with a NULL method */
extern const struct lbpf_way lbpf_ways_net[];	/* attachnet.c */

/* Readers that several files use. */
int lbpf_attach_read_nothing(lua_State *L, struct lbpf_target *to);
int lbpf_attach_read_name(lua_State *L, struct lbpf_target *to);

/* Stores libbpf's link; returns an errno. */
int lbpf_attach_done(struct lbpf_link *link, struct bpf_link *made);

/* Reads a sequence of names or of integers at idx. */
struct lbpf_list lbpf_attach_names(lua_State *L, int idx);
struct lbpf_list lbpf_attach_numbers(lua_State *L, int idx);

/* The section doesn't say where to attach. */
#define LBPF_ATTACH_NOWHERE (-1)

/* Attaches the program at prog_idx by its section, for the owner at stack index `owner`. Pushes the link and returns 0,
 * or nil, message and code and returns an errno or LBPF_ATTACH_NOWHERE. */
int lbpf_attach_auto(lua_State *L, int prog_idx, int owner);

void lbpf_attach_open(lua_State *L);

LBPF_HIDDEN_END

#endif
