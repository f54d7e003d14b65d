/* SPDX-License-Identifier: MIT */
/* lua-bpf for C hosts: the functions of lbpf.h.
 *
 * A host may call them without a protected call around. So everything that can raise is a C function that is called in
 * protected mode, with a light userdata that holds its arguments: pushing these two takes no memory. A handle becomes
 * the owner of something only when nothing can fail any more. */
#include "host/lbpf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include <bpf/libbpf.h>

#include <lauxlib.h>

#include "base/class.h"
#include "base/err.h"
#include "btf/btf.h"
#include "btf/compile.h"
#include "host/luafiles.h"
#include "map/map.h"
#include "map/open.h"
#include "object/load.h"
#include "object/object.h"
#include "program/link.h"
#include "program/open.h"
#include "program/program.h"
#include "value/codec.h"

/* The arguments of a host's call, and its result. */
struct call {
	int err; /* an errno, for a failure that is neither misuse nor lack of memory */

	/* of functions that push a handle: what it is for, and what messages call it */
	struct bpf_object *obj;
	struct bpf_program *prog;
	struct bpf_link *link;
	int fd, flags;
	const char *name;
	/* of lbpf_push_type, lbpf_push_value and lbpf_get_value */
	const struct btf *btf;
	uint32_t type_id;
	const void *data;
	void *buffer;
	size_t size;
};

/* Calls fn with the call and the nargs values at the top as arguments. Pushes its results, or the message of an
 * error. */
static int protect(lua_State *L, lua_CFunction fn, struct call *call, int nargs, int nresults)
{
	int status;

	lua_pushcfunction(L, fn);
	lua_insert(L, -1 - nargs);
	lua_pushlightuserdata(L, call);
	lua_insert(L, -1 - nargs);
	status = lua_pcall(L, 1 + nargs, nresults, 0);
	if (status == LUA_OK)
		return 0;
	if (status == LUA_ERRMEM)
		return -ENOMEM;
	return call->err ? -call->err : -EINVAL;
}

/* Fails with an errno. A cause of NULL stands for the errno's text. */
_Noreturn static void refuse(lua_State *L, struct call *call, int err, const char *cause, const char *what)
{
	lbpf_err_push(L, err, cause, "%s", what);
	lua_pop(L, 1);
	call->err = err < 0 ? -err : err;
	lua_error(L);
	__builtin_unreachable();
}

static bool is_open(lua_State *L)
{
	bool open = lua_rawgetp(L, LUA_REGISTRYINDEX, &lbpf_map_class) == LUA_TTABLE;

	lua_pop(L, 1);
	return open;
}

/* The call of a function that creates a handle, after checking it. */
static struct call *begin_push(lua_State *L, const char *name)
{
	struct call *call = lua_touserdata(L, 1);

	if (!is_open(L))
		luaL_error(L, "%s: call lbpf_open first", name);
	if (call->flags != LBPF_BORROW && call->flags != LBPF_OWN)
		luaL_error(L, "%s: flags must be LBPF_BORROW or LBPF_OWN", name);
	return call;
}

/* Returns EBADF for a descriptor that isn't open. The errno of the kernel's bpf(2) for it depends on the kernel's
 * version. */
static int check_fd(int fd)
{
	return fcntl(fd, F_GETFD) < 0 ? errno : 0;
}

static void need_pointer(lua_State *L, const void *p, const char *name)
{
	if (!p)
		luaL_error(L, "%s: the pointer is NULL", name);
}

/* ---- opening ---- */

/* The loader of a module. Its arguments are the module's name and where it was found. */
static int load_file(lua_State *L)
{
	const struct lbpf_luafile *file = lua_touserdata(L, lua_upvalueindex(1));

	lua_settop(L, 2);
	if (luaL_loadbufferx(L, (const char *)file->text, file->size, file->chunk, "t") != LUA_OK)
		lua_error(L);
	lua_insert(L, 1);
	lua_call(L, 2, 1);
	return 1;
}

static int do_open(lua_State *L)
{
	struct call *call = lua_touserdata(L, 1);

	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
	lua_pushcfunction(L, luaopen_bpf_core);
	lua_setfield(L, -2, "bpf.core");
	for (const struct lbpf_luafile *file = lbpf_luafiles; file && file->module; file++) {
		lua_pushlightuserdata(L, (void *)(uintptr_t)file);
		lua_pushcclosure(L, load_file, 1);
		lua_setfield(L, -2, file->module);
	}
	if (lua_getglobal(L, "require") != LUA_TFUNCTION)
		luaL_error(L, "lbpf_open: the state has no require; call luaL_openlibs first");
	lua_pushliteral(L, "bpf");
	lua_call(L, 1, 1);
	if (!is_open(L))
		refuse(L, call, EEXIST, "the state has another copy of module bpf.core", "lbpf_open");
	return 1;
}

int lbpf_open(lua_State *L)
{
	struct call call = { 0 };

	return protect(L, do_open, &call, 0, 1);
}

/* ---- from the host to Lua ---- */

static int do_push_map_fd(lua_State *L)
{
	struct call *call = begin_push(L, "lbpf_push_map_fd");
	struct lbpf_map *map = lbpf_map_push_owned(L);
	int err;

	map->owns_fd = false;
	map->fd = call->fd;
	err = check_fd(call->fd);
	if (!err)
		err = lbpf_map_describe(L, map);
	if (err) {
		map->fd = -1;
		refuse(L, call, err, err == EINVAL ? "this is no map's descriptor" : NULL,
		       lua_pushfstring(L, "lbpf_push_map_fd %d", call->fd));
	}
	if (call->name) /* the kernel keeps only the first 15 bytes */
		lbpf_map_set_name(map, call->name);
	map->owns_fd = call->flags & LBPF_OWN;
	return 1;
}

int lbpf_push_map_fd(lua_State *L, int fd, int flags)
{
	struct call call = { .fd = fd, .flags = flags };

	return protect(L, do_push_map_fd, &call, 0, 1);
}

static int do_push_no_map(lua_State *L)
{
	struct call *call = begin_push(L, "lbpf_push_map");

	need_pointer(L, call->name, "lbpf_push_map");
	refuse(L, call, ENOENT, "its object is not loaded, or leaves it out; push the object",
	       lua_pushfstring(L, "lbpf_push_map '%s'", call->name));
}

int lbpf_push_map(lua_State *L, const struct bpf_map *map)
{
	struct call call = { .fd = map ? lbpf_map_created_fd(map) : -1, .name = map ? bpf_map__name(map) : NULL };

	return protect(L, call.fd < 0 ? do_push_no_map : do_push_map_fd, &call, 0, 1);
}

static int do_push_object(lua_State *L)
{
	struct call *call = begin_push(L, "lbpf_push_object");
	struct lbpf_object *o;
	int err;

	need_pointer(L, call->obj, "lbpf_push_object");
	err = lbpf_load_push_borrowed(L, call->obj);
	o = lua_touserdata(L, -1);
	if (err)
		refuse(L, call, err, NULL, lua_pushfstring(L, "lbpf_push_object '%s'", o->name));
	o->borrowed = call->flags == LBPF_BORROW;
	return 1;
}

int lbpf_push_object(lua_State *L, struct bpf_object *obj, int flags)
{
	struct call call = { .obj = obj, .flags = flags };

	return protect(L, do_push_object, &call, 0, 1);
}

static int do_push_program(lua_State *L)
{
	struct call *call = begin_push(L, "lbpf_push_program");
	struct lbpf_program *p;

	need_pointer(L, call->prog, "lbpf_push_program");
	lbpf_link_push_keeper(L);
	p = lbpf_program_push(L, lua_gettop(L), call->prog, NULL);
	p->alone = true;
	return 1;
}

int lbpf_push_program(lua_State *L, struct bpf_program *prog)
{
	struct call call = { .prog = prog };

	return protect(L, do_push_program, &call, 0, 1);
}

static int do_push_program_fd(lua_State *L)
{
	struct call *call = begin_push(L, "lbpf_push_program_fd");
	struct lbpf_program *p = lbpf_program_push_alone(L);
	int err;

	p->fd = call->fd;
	err = check_fd(call->fd);
	if (!err)
		err = lbpf_program_describe(p);
	if (err) {
		p->fd = -1;
		refuse(L, call, err, err == EINVAL ? "this is no program's descriptor" : NULL,
		       lua_pushfstring(L, "lbpf_push_program_fd %d", call->fd));
	}
	p->owns_fd = call->flags & LBPF_OWN;
	return 1;
}

int lbpf_push_program_fd(lua_State *L, int fd, int flags)
{
	struct call call = { .fd = fd, .flags = flags };

	return protect(L, do_push_program_fd, &call, 0, 1);
}

static int do_push_link(lua_State *L)
{
	struct call *call = begin_push(L, "lbpf_push_link");
	bool owned = call->flags == LBPF_OWN;
	struct lbpf_link *link;

	need_pointer(L, call->link, "lbpf_push_link");
	if (owned)
		lbpf_link_push_keeper(L);
	link = lbpf_link_push(L, owned ? lua_gettop(L) : 0, "host", "");
	link->borrowed = !owned;
	link->link = call->link;
	return 1;
}

int lbpf_push_link(lua_State *L, struct bpf_link *link, int flags)
{
	struct call call = { .link = link, .flags = flags };

	return protect(L, do_push_link, &call, 0, 1);
}

int lbpf_close(lua_State *L, int idx)
{
	static const struct lbpf_class *const classes[] = {
		&lbpf_map_class, &lbpf_object_class, &lbpf_program_class, &lbpf_link_class, NULL,
	};

	for (const struct lbpf_class *const *cls = classes; *cls; cls++) {
		struct lbpf_head *self = lbpf_class_test(L, idx, *cls);

		if (!self)
			continue;
		self->asked = true;
		(*cls)->release(L, idx, self);
		return 0;
	}
	return -EINVAL;
}

/* ---- from Lua to the host ---- */

const struct lbpf_map *lbpf_test_map(lua_State *L, int idx)
{
	return lbpf_class_test(L, idx, &lbpf_map_class);
}

const struct lbpf_object *lbpf_test_object(lua_State *L, int idx)
{
	return lbpf_class_test(L, idx, &lbpf_object_class);
}

const struct lbpf_program *lbpf_test_program(lua_State *L, int idx)
{
	return lbpf_class_test(L, idx, &lbpf_program_class);
}

const struct lbpf_link *lbpf_test_link(lua_State *L, int idx)
{
	return lbpf_class_test(L, idx, &lbpf_link_class);
}

static void check_open(lua_State *L, int arg, bool open, const char *what, const char *name)
{
	if (!open)
		luaL_argerror(L, arg, lua_pushfstring(L, "%s '%s' is closed", what, name));
}

const struct lbpf_map *lbpf_check_map(lua_State *L, int arg)
{
	const struct lbpf_map *map = lbpf_class_check(L, arg, &lbpf_map_class);

	check_open(L, arg, map->fd >= 0 || map->of, "map", lbpf_map_label(map));
	return map;
}

const struct lbpf_object *lbpf_check_object(lua_State *L, int arg)
{
	const struct lbpf_object *obj = lbpf_class_check(L, arg, &lbpf_object_class);

	check_open(L, arg, obj->obj, "object", obj->name);
	return obj;
}

const struct lbpf_program *lbpf_check_program(lua_State *L, int arg)
{
	const struct lbpf_program *prog = lbpf_class_check(L, arg, &lbpf_program_class);

	check_open(L, arg, prog->prog || prog->fd >= 0, "program", prog->name);
	return prog;
}

const struct lbpf_link *lbpf_check_link(lua_State *L, int arg)
{
	const struct lbpf_link *link = lbpf_class_check(L, arg, &lbpf_link_class);

	check_open(L, arg, lbpf_link_is_open(link), "link", link->kind);
	return link;
}

int lbpf_map_fd(const struct lbpf_map *map)
{
	if (!map)
		return -EINVAL;
	return map->fd >= 0 ? map->fd : map->of ? -ENOENT : -EBADF;
}

int lbpf_program_fd(const struct lbpf_program *prog)
{
	int fd;

	if (!prog)
		return -EINVAL;
	fd = lbpf_program_descriptor(prog);
	return fd >= 0 ? fd : prog->prog ? -ENOENT : -EBADF;
}

int lbpf_link_fd(const struct lbpf_link *link)
{
	int fd;

	if (!link)
		return -EINVAL;
	if (!lbpf_link_is_open(link))
		return -EBADF;
	fd = lbpf_link_descriptor(link);
	return fd >= 0 ? fd : -EOPNOTSUPP;
}

struct bpf_map *lbpf_map_ptr(const struct lbpf_map *map)
{
	return map ? map->of : NULL;
}

struct bpf_object *lbpf_object_ptr(const struct lbpf_object *obj)
{
	return obj ? obj->obj : NULL;
}

struct bpf_program *lbpf_program_ptr(const struct lbpf_program *prog)
{
	return prog ? prog->prog : NULL;
}

struct bpf_link *lbpf_link_ptr(const struct lbpf_link *link)
{
	return link ? link->link : NULL;
}

/* ---- values ---- */

static int compile(lua_State *L)
{
	const struct call *call = lua_touserdata(L, 1);

	lbpf_btf_compile(L, call->btf, call->type_id);
	return 1;
}

/* Runs undisturbed, because a finalizer could close the object that has the BTF. */
static int do_push_type(lua_State *L)
{
	struct call *call = begin_push(L, "lbpf_push_type");

	need_pointer(L, call->btf, "lbpf_push_type");
	lua_pushcfunction(L, compile);
	lua_pushvalue(L, 1);
	lbpf_call_undisturbed(L, 1, 1);
	return 1;
}

int lbpf_push_type(lua_State *L, const struct btf *btf, uint32_t type_id)
{
	struct call call = { .btf = btf, .type_id = type_id };

	return protect(L, do_push_type, &call, 0, 1);
}

/* The type is the argument after the call. */
static const struct lbpf_type *value_type(lua_State *L, const char *name)
{
	const struct lbpf_type *type = lbpf_class_test(L, 2, &lbpf_type_class);

	if (!type) {
		luaL_error(L, "%s: bpf.type expected, got %s", name, luaL_typename(L, 2));
		__builtin_unreachable();
	}
	return type;
}

static int do_push_value(lua_State *L)
{
	const struct call *call = lua_touserdata(L, 1);
	const struct lbpf_type *type = value_type(L, "lbpf_push_value");

	lbpf_check_length(L, type, call->size, "value");
	lbpf_decode(L, type, call->data, call->size);
	return 1;
}

int lbpf_push_value(lua_State *L, int type, const void *data, size_t size)
{
	struct call call = { .data = data, .size = size };

	lua_pushvalue(L, type);
	return protect(L, do_push_value, &call, 1, 1);
}

/* The value is the third argument. */
static int do_get_value(lua_State *L)
{
	struct call *call = lua_touserdata(L, 1);
	const struct lbpf_type *type = value_type(L, "lbpf_get_value");
	void *bytes;

	if (type->size > call->size)
		refuse(L, call, ENOSPC, lua_pushfstring(L, "it takes %I bytes", (LUAI_UACINT)type->size),
		       lua_pushfstring(L, "lbpf_get_value %s", type->node[0].ctype));
	bytes = lua_newuserdatauv(L, type->size ? type->size : 1, 0);
	lbpf_encode(L, type, 3, bytes, "value");
	memcpy(call->buffer, bytes, type->size);
	return 0;
}

int lbpf_get_value(lua_State *L, int idx, int type, void *buffer, size_t size)
{
	struct call call = { .buffer = buffer, .size = size };

	idx = lua_absindex(L, idx);
	lua_pushvalue(L, type);
	lua_pushvalue(L, idx);
	return protect(L, do_get_value, &call, 2, 0);
}
