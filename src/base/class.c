/* SPDX-License-Identifier: MIT */
/* Userdata classes: how every handle is created, recognised, closed and collected.
 *
 * The registry has a class's metatable under the address of the class. Scripts see `false` instead of the metatable, so
 * they can't call __gc. If they get the metatable by the debug library, the check of the tag still protects. */
#include "base/class.h"

#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/spare.h"

/* Registry key of the table of classes whose objects have a descriptor, by name. */
#define CLASSES "bpf.classes"

static int class_gc(lua_State *L)
{
	const struct lbpf_class *cls = lua_touserdata(L, lua_upvalueindex(1));
	struct lbpf_head *self = lbpf_class_test(L, 1, cls);

	if (!self)
		return 0;
	if (cls->release)
		cls->release(L, 1, self);
	self->cls = NULL;
	return 0;
}

/* __close gets the error that ends the scope as a second argument, so only the first argument is used. */
static int class_leave(lua_State *L)
{
	const struct lbpf_class *cls = lua_touserdata(L, lua_upvalueindex(1));
	void *self = lbpf_class_test(L, 1, cls);

	if (self && cls->release && !cls->lasting)
		cls->release(L, 1, self);
	return 0;
}

int lbpf_class_close(lua_State *L, const struct lbpf_class *cls)
{
	struct lbpf_head *self = lbpf_class_check(L, 1, cls);

	self->asked = true;
	if (cls->release)
		cls->release(L, 1, self);
	lua_pushboolean(L, 1);
	return 1;
}

static void class_set_closure(lua_State *L, const struct lbpf_class *cls, const char *name, lua_CFunction fn)
{
	lua_pushlightuserdata(L, (void *)(uintptr_t)cls);
	lua_pushcclosure(L, fn, 1);
	lua_setfield(L, -2, name);
}

static int count(const luaL_Reg *list)
{
	int n = 0;

	while (list && list[n].name)
		n++;
	return n;
}

/* The tables get their size at once, because each growth of a table places all its fields anew. */
void lbpf_class_register(lua_State *L, const struct lbpf_class *cls)
{
	lua_createtable(L, 0, 5 + count(cls->meta));
	if (!cls->borrows)
		class_set_closure(L, cls, "__gc", class_gc);
	class_set_closure(L, cls, "__close", class_leave); /* unless the class has its own */
	lua_createtable(L, 0, count(cls->methods));	   /* metatable, methods */
	if (cls->methods)
		luaL_setfuncs(L, cls->methods, 0);
	lua_pushvalue(L, -1);
	lua_setfield(L, -3, "__index");
	for (const luaL_Reg *reg = cls->meta; reg && reg->name; reg++) {
		bool index = strcmp(reg->name, "__index") == 0;

		if (index)
			lua_pushvalue(L, -1);
		lua_pushcclosure(L, reg->func, index);
		lua_setfield(L, -3, reg->name);
	}
	lua_pop(L, 1);
	lua_pushstring(L, cls->name);
	lua_setfield(L, -2, "__name");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_rawsetp(L, LUA_REGISTRYINDEX, cls);
	if (cls->descriptor) {
		luaL_getsubtable(L, LUA_REGISTRYINDEX, CLASSES);
		lua_pushlightuserdata(L, (void *)(uintptr_t)cls);
		lua_setfield(L, -2, cls->name);
		lua_pop(L, 1);
	}
}

int lbpf_class_descriptor(lua_State *L, int idx, const char *name)
{
	const struct lbpf_class *cls = NULL;
	int top = lua_gettop(L);

	idx = lua_absindex(L, idx);
	if (lua_getfield(L, LUA_REGISTRYINDEX, CLASSES) == LUA_TTABLE && lua_getfield(L, -1, name))
		cls = lua_touserdata(L, -1);
	lua_settop(L, top);
	return cls && lbpf_class_test(L, idx, cls) ? cls->descriptor(L, idx) : -1;
}

void lbpf_class_extend(lua_State *L, const struct lbpf_class *cls, const luaL_Reg *meta)
{
	lua_rawgetp(L, LUA_REGISTRYINDEX, cls);
	luaL_setfuncs(L, meta, 0);
	lua_pop(L, 1);
}

void lbpf_class_add_methods(lua_State *L, const struct lbpf_class *cls, const luaL_Reg *methods)
{
	int top = lua_gettop(L);

	lua_rawgetp(L, LUA_REGISTRYINDEX, cls);
	/* The class's own, with the methods as its upvalue. */
	if (lua_getfield(L, -1, "__index") == LUA_TFUNCTION)
		lua_getupvalue(L, -1, 1);
	luaL_setfuncs(L, methods, 0);
	lua_settop(L, top);
}

void lbpf_holder_init(void *self)
{
	((struct lbpf_holder *)self)->fd = -1;
}

void lbpf_holder_release(lua_State *L, int idx, void *self)
{
	struct lbpf_holder *holder = self;
	int fd = holder->fd;

	(void)L;
	(void)idx;
	holder->fd = -1;
	if (fd >= 0)
		close(fd);
}

void *lbpf_class_new(lua_State *L, const struct lbpf_class *cls, size_t size, int nuv)
{
	struct lbpf_head *self;

	luaL_checkstack(L, 4, NULL);
	if (cls->descriptors)
		lbpf_spare(L, cls->descriptors);
	self = lua_newuserdatauv(L, size, nuv);
	memset(self, 0, size);
	self->cls = cls;
	self->process = lbpf_process_number();
	if (cls->init)
		cls->init(self);
	lua_rawgetp(L, LUA_REGISTRYINDEX, cls);
	lua_setmetatable(L, -2);
	return self;
}

void *lbpf_class_new_borrower(lua_State *L, const struct lbpf_class *cls, size_t size, int nuv, int owner)
{
	struct lbpf_borrower *self;

	owner = lua_absindex(L, owner);
	self = lbpf_class_new(L, cls, size, nuv);
	lua_pushvalue(L, owner);
	lua_setiuservalue(L, -2, 1);
	self->owner = lua_touserdata(L, owner);
	return self;
}

_Noreturn void lbpf_class_mismatch(lua_State *L, int idx, const struct lbpf_class *cls)
{
	luaL_typeerror(L, idx, cls->name);
	__builtin_unreachable();
}
