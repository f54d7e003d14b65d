/* SPDX-License-Identifier: MIT */
/* BTF handles, and finding the type that a script names. */
#ifndef LBPF_BTF_H
#define LBPF_BTF_H

#include <stdbool.h>
#include <stdint.h>

#include <bpf/btf.h>

#include "base/class.h"
#include "base/compat.h"
#include "value/plan.h"

LBPF_HIDDEN_BEGIN

/* BTF that several handles use: its own handle, and handles whose BTF has it as their base. Finalizers run in the
 * reverse order in which handles were created, without regard to which handle needs which. So the last handle frees the
 * BTF. */
struct lbpf_btf_shared {
	struct btf *btf;
	size_t uses;
};

struct lbpf_btf {
	struct lbpf_head head;
	struct btf *btf;		/* NULL once closed */
	bool borrowed;			/* it belongs to what the user value keeps alive; false: the handle owns it */
	struct lbpf_btf_shared *shared; /* the handle's own BTF, once another handle uses it, too */
	struct lbpf_btf_shared *base;	/* the base of the BTF, if that is another handle's */
	/* Of the object, module or file that the BTF describes, for messages; "" for handles that scripts never see */
	char name[64];
};

extern const struct lbpf_class lbpf_btf_class;

/* The type of an id; raises an error if there is none. */
static inline const struct btf_type *lbpf_btf_type_at(lua_State *L, const struct btf *btf, uint32_t id)
{
	const struct btf_type *t = btf__type_by_id(btf, id);

	if (!t)
		luaL_error(L, "malformed BTF: there is no type %I", (LUAI_UACINT)id);
	return t;
}

/* The name at an offset, "" if there is none. */
static inline const char *lbpf_btf_name_at(const struct btf *btf, uint32_t offset)
{
	const char *name = btf__name_by_offset(btf, offset);

	return name ? name : "";
}

/* Pushes a handle without BTF. Store the BTF that libbpf returns in it at once. */
struct lbpf_btf *lbpf_btf_new(lua_State *L);

/* Pushes a handle with an empty BTF, whose types may refer to those of base (or NULL). Raises if there is no memory. */
struct lbpf_btf *lbpf_btf_new_empty(lua_State *L, struct btf *base);

/* Pushes the handle of the running kernel's BTF and returns the BTF, which is read when it is first used. Only
 * collection closes the handle. If the kernel has no BTF, pushes nothing and returns NULL with errno set. */
struct btf *lbpf_btf_push_kernel(lua_State *L);

/* Whether s names a type, as "struct event" or "event_t" do, and is no built-in type of C. */
bool lbpf_btf_is_name(const char *s);

/* The id of such a name, or 0. */
uint32_t lbpf_btf_find_name(const struct btf *btf, const char *name);

/* Makes the BTF of `base` the base of the handle's BTF. Both are open handles that own their BTF. Returns 0 or
 * ENOMEM. */
int lbpf_btf_use_base(struct lbpf_btf *handle, struct lbpf_btf *base);

/* Frees the BTF and its descriptor at once, if the handle owns it and no other handle has it as a base. Types that were
 * compiled from it stay valid. */
void lbpf_btf_drop(struct lbpf_btf *handle);

/* Pushes the type that the value at idx means: a name that is looked up in `own` (may be NULL) and the kernel's BTF, C
 * text, a size in bytes, or a bpf.type. Nothing or nil means raw bytes of any length. Raises an error that begins with
 * `what` if there is no such type. */
struct lbpf_type *lbpf_btf_spec(lua_State *L, int idx, struct btf *own, const char *what);

/* Adds the C text at idx to btf and returns its id. Returns 0 if the text is only a name, which the kernel's BTF may
 * have. */
int lbpf_btf_add(lua_State *L, struct btf *btf, int idx);

LBPF_HIDDEN_END

#endif
