/* SPDX-License-Identifier: MIT */
/* Links: how an attachment is kept, closed and owned. */
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

/* One attachment to the kernel. */
struct lbpf_part {
	struct bpf_link *link; /* NULL: closed, or attached otherwise */
	int fd;		       /* a link of the kernel's that libbpf has no struct for, owned; -1 without */
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
	struct lbpf_part *more; /* further ones, of what takes several, in memory of malloc's */
	size_t more_count;
	const struct btf *btf; /* of the object that owns the link and closes it first; NULL for others */
	bool borrowed;	       /* the first is a host's, and not destroyed */
	/* What else there is to undo, for attachments that are no links to the kernel. Returns an errno; called once.
	 */
	int (*undo)(struct lbpf_link *self);
	struct {
		int ifindex, target, prog; /* descriptors are owned, -1 without */
		uint32_t flags, handle, priority;
		int point;
	} at;		  /* what undo needs to know */
	const char *kind; /* how it was attached: "attach_xdp", a string literal */
	char of[64];	  /* the program or map that is attached; the type of one that was opened */
};

/* User value of every owner of links: the set of those that are open. */
#define LBPF_OWNER_LINKS 1

extern const struct lbpf_class lbpf_link_class;

static inline bool lbpf_link_is_open(const struct lbpf_link *handle)
{
	return handle->link || handle->fd >= 0 || handle->undo;
}

/* User values; LBPF_LINK_NAME: of one that was opened, what messages call it. */
enum { LBPF_LINK_OWNER = 1, LBPF_LINK_NAME, LBPF_LINK_USER_VALUES = LBPF_LINK_NAME };

/* Pushes a closed link that belongs to the owner at stack index `owner`, 0 for nobody; store what libbpf returns into
 * it. `of` is for tostring. */
struct lbpf_link *lbpf_link_push(lua_State *L, int owner, const char *kind, const char *of);

/* The open link at idx; raises otherwise. */
struct lbpf_link *lbpf_link_check(lua_State *L, int idx);

/* The place for one more attachment of the link, closed: the first, or a further one. NULL and errno without memory. */
struct lbpf_part *lbpf_link_add(struct lbpf_link *handle);

/* The link's descriptor, or -1 for an attachment that has none, or several. */
int lbpf_link_descriptor(const struct lbpf_link *handle);

/* Pushes nil, message and code for what failed of the link at stack index 1, and returns 3. */
int lbpf_link_fail(lua_State *L, const struct lbpf_link *handle, int err, const char *cause, const char *operation);

/* Takes a link that came to nothing out of its owner's set. */
void lbpf_link_drop(lua_State *L, int idx);

/* Closes the link at idx. Never raises. */
void lbpf_link_close(lua_State *L, int idx);

/* Closes all links of the owner at stack index `owner`; asked to, or by itself. Never raises. */
void lbpf_link_close_all(lua_State *L, int owner, bool asked);

/* Pushes the state's keeper: the owner of links that no object's handle owns. It goes with the state. */
void lbpf_link_push_keeper(lua_State *L);

/* Opener: registers the class. */
void lbpf_link_open(lua_State *L);

LBPF_HIDDEN_END

#endif
