/* SPDX-License-Identifier: MIT */
/* Information about a link, from the kernel, by its descriptor. */
#ifndef LBPF_PROGRAM_LINKINFO_H
#define LBPF_PROGRAM_LINKINFO_H

#include <stdint.h>

#include <lua.h>

#include <linux/bpf.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

struct lbpf_link_info {
	union {
		struct bpf_link_info kernel;
		uint8_t bytes[256]; /* newer kernels return more than the headers declare */
	};
	uint32_t len;	 /* how many bytes this kernel has filled */
	char text[4096]; /* the name or path that is part of the information */
};

/* Asks the kernel. Returns 0 or an errno. Calls no Lua function. */
int lbpf_link_fetch_info(int fd, struct lbpf_link_info *out);

/* The name of the link's type; "other" for a type that has none. */
const char *lbpf_link_type_name(const struct lbpf_link_info *info);

/* Pushes a table of the fields: id, type, prog_id, and those of the type. */
void lbpf_link_push_info(lua_State *L, const struct lbpf_link_info *info);

LBPF_HIDDEN_END

#endif
