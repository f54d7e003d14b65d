/* SPDX-License-Identifier: MIT */
/* Userdata classes: how every handle is created, recognised, closed and collected. */
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
	const char *name;	 /* "bpf.map": the metatable's __name, which errors show */
	const luaL_Reg *methods; /* methods, or NULL */
	const luaL_Reg *meta;	 /* further metamethods; an __index here replaces the one for methods */
	/* Puts a new object, whose memory is zero, into its closed state. NULL if zeros are that state. Can't fail. */
	void (*init)(void *self);
	/* Frees what the object holds and leaves it closed. close, __close and __gc call it, any number of times, with
	 * the object at stack index idx. Never raises. NULL if there is nothing to free. It undoes effects outside of
	 * this process only if lbpf_class_undoes returns true. */
	void (*release)(lua_State *L, int idx, void *self);
	/* Returns the descriptor of the object at idx. Raises, and says why, if the object has none now. NULL if
	 * objects of this class never have one. */
	int (*descriptor)(lua_State *L, int idx);
	/* how many descriptors creating one may have open at a time. If there are too few, handles are collected
	 * first */
	unsigned char descriptors;
	bool lasting; /* only collection releases it, not the end of a scope: other objects use it */
	bool borrows; /* objects of this class are borrowers, see below */
};

/* First member of every object. The tag tells the object's class without a look into the registry, which would be too
 * slow for the hot paths. Collection clears the tag, so memory that Lua reuses is never mistaken for a handle. */
struct lbpf_head {
	const struct lbpf_class *cls;
	uint32_t process; /* the number of the process that created it */
	bool asked;	  /* the script or the host has asked to close it */
};

/* An object that owns one descriptor, and the init and release of its class. */
struct lbpf_holder {
	struct lbpf_head head;
	int fd; /* -1: closed */
};

void lbpf_holder_init(void *self);
void lbpf_holder_release(lua_State *L, int idx, void *self);

/* First member of a borrower: an object that has nothing to free, because everything it uses belongs to another object,
 * its owner. Scripts create many of these, walks for example. A finalizer would keep each one and its memory for one
 * more collection, and a loop would allocate faster than collections free. So a borrower has no finalizer, and its tag
 * isn't cleared: memory that Lua reuses may still have it. Therefore an object counts as a borrower only if its first
 * user value is also its owner. */
struct lbpf_borrower {
	struct lbpf_head head;
	const void *owner;
};

/* Whether this process created the object, and did not inherit it by a fork. */
static inline bool lbpf_class_is_here(const struct lbpf_head *head)
{
	return head->process == lbpf_process_number();
}

/* Whether a release undoes what the object did in the kernel, beyond closing this process's descriptors. If nobody
 * asked to close the object (collection, end of a scope), only the process that created it does: a child that ends must
 * not detach programs that its parent uses. */
static inline bool lbpf_class_undoes(const struct lbpf_head *head)
{
	return head->asked || lbpf_class_is_here(head);
}

/* Creates the class's metatable; called once per state, by the opener of the class's file. An __index function gets the
 * table of methods as its first upvalue. Pushes nothing. */
void lbpf_class_register(lua_State *L, const struct lbpf_class *cls);

/* Adds metamethods to a registered class, from another file of the same concept. */
void lbpf_class_extend(lua_State *L, const struct lbpf_class *cls, const luaL_Reg *meta);

/* Adds methods to a registered class, in the same way. */
void lbpf_class_add_methods(lua_State *L, const struct lbpf_class *cls, const luaL_Reg *methods);

/* Pushes a new object in its closed state, with nuv user values. Acquire resources only then, straight into the
 * object. */
void *lbpf_class_new(lua_State *L, const struct lbpf_class *cls, size_t size, int nuv);

/* Like lbpf_class_new, for a borrower whose owner is at stack index `owner`. Its first user value is the owner. */
void *lbpf_class_new_borrower(lua_State *L, const struct lbpf_class *cls, size_t size, int nuv, int owner);

/* What `close` is for the class, as a method or function. Returns true. */
int lbpf_class_close(lua_State *L, const struct lbpf_class *cls);

/* Raises "bad argument #idx (bpf.map expected, got …)". */
_Noreturn void lbpf_class_mismatch(lua_State *L, int idx, const struct lbpf_class *cls);

/* The object at idx if it is of this class, otherwise NULL. */
static inline void *lbpf_class_test(lua_State *L, int idx, const struct lbpf_class *cls)
{
	struct lbpf_head *head = lua_touserdata(L, idx);

	if (head && lua_rawlen(L, idx) >= sizeof(*head) && head->cls == cls)
		return head;
	return NULL;
}

/* The descriptor of the object at idx if its class has this name; -1 for anything else. For files that can't use the
 * class itself, because it is on a higher floor. */
int lbpf_class_descriptor(lua_State *L, int idx, const char *name);

/* The borrower at idx if it is of this class, otherwise NULL. */
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

/* The object at idx. Raises if the value is anything else. */
static inline void *lbpf_class_check(lua_State *L, int idx, const struct lbpf_class *cls)
{
	void *self = lbpf_class_test(L, idx, cls);

	if (lbpf_unlikely(!self))
		lbpf_class_mismatch(L, idx, cls);
	return self;
}

LBPF_HIDDEN_END

#endif
