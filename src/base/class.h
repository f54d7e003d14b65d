/* SPDX-License-Identifier: MIT */
/* Userdata classes: how every handle is made, recognised, closed and collected. */
#ifndef LBPF_BASE_CLASS_H
#define LBPF_BASE_CLASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lauxlib.h>
#include <lua.h>

#include "base/compat.h"
#include "base/process.h"
#include "base/raise.h"

LBPF_HIDDEN_BEGIN

struct lbpf_class {
	const char *name;	 /* "bpf.map": __name, and what errors call it */
	const luaL_Reg *methods; /* what indexing offers, or NULL when the class has no methods */
	const luaL_Reg *meta;	 /* further metamethods; an __index here replaces the methods' */
	/* Puts a fresh, zeroed object into its closed state; NULL when zero is that state. Can't fail. */
	void (*init)(void *self);
	/* Frees what the object holds and leaves it closed. Called by close, __close and __gc, any number of
	 * times, with the object at stack index idx. Never raises. NULL when there is nothing to free. What it undoes
	 * outside of this process, it undoes only if lbpf_class_undoes. */
	void (*release)(lua_State *L, int idx, void *self);
	/* The descriptor of the object at idx; raises when it has none now, and says why. NULL: such objects have none.
	 */
	int (*descriptor)(lua_State *L, int idx);
	unsigned char descriptors; /* that making one may open at a time, and which are collected for if need be */
	bool lasting;		   /* a scope's end doesn't close it: others use it, and only collection releases it */
	bool borrows;		   /* its objects are borrowers */
};

/* First member of every object. The tag tells the class without asking the registry, on the hot paths as well;
 * a collected object loses it, so memory that Lua hands out again is never mistaken for a handle. */
struct lbpf_head {
	const struct lbpf_class *cls;
	uint32_t process; /* the number of the one that made it */
	bool asked;	  /* to close, by the script or the host */
};

/* An object that owns one descriptor; what its class's init and release are. */
struct lbpf_holder {
	struct lbpf_head head;
	int fd; /* -1: closed */
};

void lbpf_holder_init(void *self);
void lbpf_holder_release(lua_State *L, int idx, void *self);

/* First member of an object of which scripts make many, and that has nothing to free: all it needs belongs to another
 * one. Such an object has no finalizer, which would keep it and its memory for one more collection, and a loop outruns
 * those. So its tag isn't cleared, and memory that Lua hands out again may have it: what tells a borrower is also that
 * its first user value is its owner. */
struct lbpf_borrower {
	struct lbpf_head head;
	const void *owner;
};

/* Whether this process made the object, and did not inherit it by a fork. */
static inline bool lbpf_class_is_here(const struct lbpf_head *head)
{
	return head->process == lbpf_process_number();
}

/* Whether a release takes back what the object did to the kernel, beyond closing this process's descriptors. Collection
 * and the end of a scope do so only in the process that did it: a child's end must not detach what its parent uses. */
static inline bool lbpf_class_undoes(const struct lbpf_head *head)
{
	return head->asked || lbpf_class_is_here(head);
}

/* Makes the class's metatable; once per state, from the concept's opener. Its __index function, if any, gets the
 * methods table as its first upvalue. Pushes nothing. */
void lbpf_class_register(lua_State *L, const struct lbpf_class *cls);

/* Adds metamethods to a registered class, from another file that belongs to its concept. */
void lbpf_class_extend(lua_State *L, const struct lbpf_class *cls, const luaL_Reg *meta);

/* Adds methods to a registered class, likewise. */
void lbpf_class_add_methods(lua_State *L, const struct lbpf_class *cls, const luaL_Reg *methods);

/* Pushes a new object in its closed state, with nuv user values. Acquire into it afterwards. */
void *lbpf_class_new(lua_State *L, const struct lbpf_class *cls, size_t size, int nuv);

/* The same for a borrower, whose owner is at stack index owner. Its first user value is taken. */
void *lbpf_class_new_borrower(lua_State *L, const struct lbpf_class *cls, size_t size, int nuv, int owner);

/* The class's own close: `close()` as a method or function, returns true. */
int lbpf_class_close(lua_State *L, const struct lbpf_class *cls);

/* Raises "bad argument #idx (bpf.map expected, got …)". */
_Noreturn void lbpf_class_mismatch(lua_State *L, int idx, const struct lbpf_class *cls);

/* The object at idx if it is of this class, else NULL. */
static inline void *lbpf_class_test(lua_State *L, int idx, const struct lbpf_class *cls)
{
	struct lbpf_head *head = lua_touserdata(L, idx);

	if (head && lua_rawlen(L, idx) >= sizeof(*head) && head->cls == cls)
		return head;
	return NULL;
}

/* The descriptor of the object at idx, if its class has this name; -1 for anything else. For those who can't know the
 * class itself, since it lives on a floor above theirs. */
int lbpf_class_descriptor(lua_State *L, int idx, const char *name);

/* The borrower at idx if it is of this class, else NULL. */
static inline void *lbpf_class_test_borrower(lua_State *L, int idx, const struct lbpf_class *cls)
{
	struct lbpf_borrower *self = lua_touserdata(L, idx);
	const void *owner;

	if (!self || lua_rawlen(L, idx) < sizeof(*self) || self->head.cls != cls)
		return NULL;
	lua_getiuservalue(L, idx, 1);
	owner = lua_touserdata(L, -1);
	lua_pop(L, 1);
	return owner && owner == self->owner ? self : NULL;
}

/* The object at idx; raises when it is anything else. */
static inline void *lbpf_class_check(lua_State *L, int idx, const struct lbpf_class *cls)
{
	void *self = lbpf_class_test(L, idx, cls);

	if (lbpf_unlikely(!self))
		lbpf_class_mismatch(L, idx, cls);
	return self;
}

LBPF_HIDDEN_END

#endif
