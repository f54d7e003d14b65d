/* SPDX-License-Identifier: MIT */
/* Links: how attachments are stored, closed and owned. */
#ifndef LBPF_PROGRAM_LINK_H
#define LBPF_PROGRAM_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bpf/libbpf.h>

#include "base/class.h"
#include "base/compat.h"

LBPF_HIDDEN_BEGIN

struct btf;

/* One attachment. */
struct lbpf_part {
	struct bpf_link *link; /* NULL: closed, or not attached by libbpf */
	int fd;		       /* descriptor of a kernel link for which libbpf has no struct, owned; -1: none */
	int event;	       /* a perf event's descriptor that libbpf's link owns; -1: unknown */
};

struct lbpf_link {
	struct lbpf_head head;
	union {
		struct lbpf_part first;
		struct {
			struct bpf_link *link;
			int fd;
		};
	};
	struct lbpf_part *more; /* the further attachments, if there are several; allocated by malloc */
	size_t more_count;
	/* The BTF of the object that owns the link, and closes the link before itself; NULL for other links. */
	const struct btf *btf;
	bool borrowed; /* the first attachment belongs to a host, and isn't destroyed */
	/* Detaches attachments that are no links in the kernel. Returns 0 or an errno. Called once. */
	int (*undo)(struct lbpf_link *self);
	struct {
		int ifindex, target, prog; /* owned descriptors; -1: none */
		uint32_t flags, handle, priority;
		int point;
	} at;		  /* what `undo` needs to know */
	const char *kind; /* how it was attached: "attach_xdp", a string literal */
	char of[64];	  /* the name of the attached program or map; the type of a link that was opened */
};

/* User value of every owner of links: the set of its open links. */
#define LBPF_OWNER_LINKS 1

extern const struct lbpf_class lbpf_link_class;

static inline bool lbpf_link_is_open(const struct lbpf_link *handle)
{
	return handle->link || handle->fd >= 0 || handle->undo;
}

/* User values. LBPF_LINK_NAME: for a link that was opened, its name in messages. */
enum { LBPF_LINK_OWNER = 1, LBPF_LINK_NAME, LBPF_LINK_USER_VALUES = LBPF_LINK_NAME };

/* Pushes a closed link that belongs to the owner at stack index `owner`, or to nobody if that is 0. Store what libbpf
 * returns in it. `of` is shown by tostring. */
struct lbpf_link *lbpf_link_push(lua_State *L, int owner, const char *kind, const char *of);

/* Returns the open link at idx; raises otherwise. */
struct lbpf_link *lbpf_link_check(lua_State *L, int idx);

/* Returns a closed place for one more attachment of the link: the first, or a further one. NULL and errno if there is
 * no memory. */
struct lbpf_part *lbpf_link_add(struct lbpf_link *handle);

/* The link's descriptor; -1 if the link has none, or several attachments. */
int lbpf_link_descriptor(const struct lbpf_link *handle);

/* For a failed operation on the link at stack index 1: pushes nil, message and code, and returns 3. */
int lbpf_link_fail(lua_State *L, const struct lbpf_link *handle, int err, const char *cause, const char *operation);

/* Removes a link that was never attached from its owner's set. */
void lbpf_link_drop(lua_State *L, int idx);

/* Closes the link at idx. Never raises. */
void lbpf_link_close(lua_State *L, int idx);

/* Closes all links of the owner at stack index `owner`. `asked`: the script or host has asked to close them. Never
 * raises. */
void lbpf_link_close_all(lua_State *L, int owner, bool asked);

/* Pushes the state's keeper, which owns the links that no object's handle owns. It lives as long as the state. */
void lbpf_link_push_keeper(lua_State *L);

/* Opener: registers the class. */
LBPF_OPENER lbpf_link_open(lua_State *L);

LBPF_HIDDEN_END

#endif
