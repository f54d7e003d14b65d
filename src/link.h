/* SPDX-License-Identifier: MIT */
/* Links: a program's attachment. Owned by the object of the program, closed by the script or with the object. */
#ifndef LBPF_LINK_H
#define LBPF_LINK_H

#include <lua.h>

#include "class.h"
#include "compat.h"

LBPF_HIDDEN_BEGIN

struct bpf_link;

struct lbpf_link {
	struct lbpf_head head;
	struct bpf_link *link; /* NULL: closed */
	const char *kind;      /* how it was attached: "attach_xdp", a string literal */
};

/* User value of every owner of links: the set of those that are open. */
#define LBPF_OWNER_LINKS 1

/* Pushes a closed link that belongs to the owner at stack index `owner`; store what libbpf returns into it. */
struct lbpf_link *lbpf_link_push(lua_State *L, int owner, const char *kind);

/* Takes a link that came to nothing out of its owner's set. */
void lbpf_link_drop(lua_State *L, int idx);

/* Closes the link at idx. Never raises. */
void lbpf_link_close(lua_State *L, int idx);

/* Closes all links of the owner at stack index `owner`. Never raises. */
void lbpf_link_close_all(lua_State *L, int owner);

void lbpf_link_open(lua_State *L);

LBPF_HIDDEN_END

#endif
