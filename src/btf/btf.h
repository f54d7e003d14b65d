/* SPDX-License-Identifier: MIT */
/* BTF: handles, and types by what scripts write for them. */
#ifndef LBPF_BTF_H
#define LBPF_BTF_H

#include <stdbool.h>
#include <stdint.h>

#include <bpf/btf.h>

#include "base/class.h"
#include "base/compat.h"
#include "value/plan.h"

LBPF_HIDDEN_BEGIN

/* BTF that several handles use: its own, and those whose BTF has it as a base. Finalizers run in the order in which
 * handles were made, not in that in which they need each other, so the last of them frees it. */
struct lbpf_btf_shared {
	struct btf *btf;
	size_t uses;
};

struct lbpf_btf {
	struct lbpf_head head;
	struct btf *btf;		/* NULL once closed */
	bool borrowed;			/* of what the user value keeps alive; else owned */
	struct lbpf_btf_shared *shared; /* the owned one, once another handle uses it */
	struct lbpf_btf_shared *base;	/* what the BTF refers to, if that is another handle's */
	char name[64];			/* of what it describes, for messages; "" for handles that scripts never see */
};

extern const struct lbpf_class lbpf_btf_class;

/* Pushes a handle without BTF; store what libbpf returns into it at once. */
struct lbpf_btf *lbpf_btf_new(lua_State *L);

/* Pushes a handle with an empty BTF, whose types may refer to those of base (or NULL). Raises without memory. */
struct lbpf_btf *lbpf_btf_new_empty(lua_State *L, struct btf *base);

/* Pushes the handle of the running kernel's BTF, which only collection closes, and returns its BTF, read at first use.
 * Without one, pushes nothing and returns NULL with errno set. */
struct btf *lbpf_btf_push_kernel(lua_State *L);

/* Whether s is "struct event" or "event_t", and no type that C has built in. */
bool lbpf_btf_is_name(const char *s);

/* The id of such a name, or 0. */
uint32_t lbpf_btf_find_name(const struct btf *btf, const char *name);

/* Makes an open handle that owns its BTF a user of another such handle's, to be its base. Returns 0 or ENOMEM. */
int lbpf_btf_use_base(struct lbpf_btf *handle, struct lbpf_btf *base);

/* Frees the BTF at once, if it is the handle's own and no other handle's base, and with it its descriptor; types that
 * were compiled from it don't need it. */
void lbpf_btf_drop(struct lbpf_btf *handle);

/* Pushes the type that the spec at idx means: a name found in own (may be NULL) or the kernel's BTF, C text, a size
 * in bytes, a bpf.type; nothing or nil means raw bytes of any length. Raises, with `what` in front, if it can't. */
struct lbpf_type *lbpf_btf_spec(lua_State *L, int idx, struct btf *own, const char *what);

/* The id of C text once added to btf, or 0 when the text is a bare name that only the kernel's BTF may know. */
int lbpf_btf_add(lua_State *L, struct btf *btf, int idx);

LBPF_HIDDEN_END

#endif
