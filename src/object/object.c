/* SPDX-License-Identifier: MIT */
/* Compiled BPF objects: their contents, attaching, closing.
 *
 * The handle owns libbpf's object and everything in it; or it borrows the object of a C host, which closes it later.
 * The handles of maps, programs and variables borrow from the object. Before the object is freed, its links are closed
 * and these handles are cleared. So a script that keeps one of them gets an error. */
#include "object/object.h"

#include <errno.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "base/arg.h"
#include "base/err.h"
#include "base/log.h"
#include "base/spare.h"
#include "btf/open.h"
#include "map/declared.h"
#include "map/like.h"
#include "map/map.h"
#include "object/structops.h"
#include "object/vars.h"
#include "program/attach.h"
#include "program/link.h"
#include "program/program.h"

void lbpf_object_each(lua_State *L, int idx, int list, void (*fn)(void *self, bool *flag), bool *flag)
{
	int top = lua_gettop(L);

	if (lua_getiuservalue(L, idx, list) == LUA_TTABLE)
		for (lua_Integer i = 1; lua_rawgeti(L, top + 1, i) == LUA_TUSERDATA; i++) {
			fn(lua_touserdata(L, -1), flag);
			lua_pop(L, 1);
		}
	lua_settop(L, top);
}

static void orphan_map(void *self, bool *unused)
{
	(void)unused;
	lbpf_map_orphan(self);
}

static void orphan_program(void *self, bool *searched)
{
	struct lbpf_program *p = self;

	*searched |= p->searched;
	p->prog = NULL;
	p->btf = NULL;
}

static void orphan_btf(lua_State *L, int idx)
{
	if (lua_getiuservalue(L, idx, LBPF_OBJECT_BTF) == LUA_TUSERDATA)
		((struct lbpf_btf *)lua_touserdata(L, -1))->btf = NULL;
	lua_pop(L, 1);
}

/* Descriptors that libbpf opens to probe the kernel. */
enum { DESCRIPTORS = 6 };

/* To find an attach target, libbpf opens the BTF of every module, and closes it only at the end of a load. So this
 * loads nothing: no program and no map. If only a few descriptors were left, libbpf's probing of the kernel would fail,
 * and libbpf would remember for the whole process that the kernel supports nothing. So these few are taken first, and
 * libbpf fails at its first step. */
static void end_search(struct bpf_object *obj)
{
	int rest[DESCRIPTORS];
	unsigned int count;
	struct bpf_program *prog;
	struct bpf_map *map;

	bpf_object__for_each_program(prog, obj)
	{
		bpf_program__set_autoload(prog, false);
	}
	bpf_object__for_each_map(map, obj)
	{
		bpf_map__set_autocreate(map, false);
	}
	if (!lbpf_structops_ready(obj)) /* the kernel has no BTF, so libbpf has not searched modules */
		return;
	count = lbpf_spare_take_rest(rest, DESCRIPTORS);
	bpf_object__load(obj);
	lbpf_spare_give(rest, count);
}

void lbpf_object_release(lua_State *L, int idx, void *self)
{
	struct lbpf_object *o = self;
	struct bpf_object *obj = o->obj;
	struct lbpf_log *log;
	bool searched = false;

	o->obj = NULL;
	if (!obj)
		return;
	idx = lua_absindex(L, idx);
	lbpf_link_close_all(L, idx, o->head.asked);
	lbpf_object_each(L, idx, LBPF_OBJECT_MAP_LIST, orphan_map, NULL);
	lbpf_object_each(L, idx, LBPF_OBJECT_PROG_LIST, orphan_program, &searched);
	if (o->vars)
		lbpf_vars_orphan(o->vars);
	orphan_btf(L, idx);
	if (o->borrowed || !lbpf_mapmem_leave(obj, o->process))
		return;
	log = lbpf_log_begin(L);
	if (searched && !o->loaded)
		end_search(obj);
	bpf_object__close(obj);
	lbpf_log_end(log);
}

struct lbpf_object *lbpf_object_check(lua_State *L)
{
	struct lbpf_object *o = lbpf_class_check(L, 1, &lbpf_object_class);

	if (!o->obj)
		luaL_error(L, "object '%s' is closed", o->name);
	return o;
}

/* ---- what an object holds ---- */

/* Pushes the names in the table at index 1, or "none". */
static void push_names(lua_State *L)
{
	int listed = 0, top = lua_gettop(L) + 1;

	lua_pushliteral(L, "none");
	for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
		if (lua_type(L, -2) != LUA_TSTRING || ++listed > 20)
			continue;
		lua_pushfstring(L, "%s%s%s", listed > 1 ? lua_tostring(L, top) : "", listed > 1 ? ", " : "",
				listed == 20 ? "…" : lua_tostring(L, -2));
		lua_replace(L, top);
	}
}

/* __index of obj.maps and obj.progs, which is called for an unknown name. */
static int contents_unknown(lua_State *L)
{
	const char *what = lua_tostring(L, lua_upvalueindex(1));

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 2);
	push_names(L);
	return luaL_error(L, "the object has no %s '%s' (%ss: %s)", what, lbpf_arg_show(L, 2), what,
			  lua_tostring(L, 3));
}

static int contents_tostring(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	push_names(L);
	lua_pushfstring(L, "%ss: %s", lua_tostring(L, lua_upvalueindex(1)), lua_tostring(L, 2));
	return 1;
}

/* Goes from one name to the next, in the order of declaration. Names that the script has removed from the table are
 * skipped. The upvalue has the names by number and the numbers by name. */
static int contents_next(lua_State *L)
{
	lua_Integer i;

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 2);
	lua_rawget(L, lua_upvalueindex(1)); /* nil has no entry */
	i = lua_tointeger(L, 2);
	do {
		lua_settop(L, 1);
		if (lua_rawgeti(L, lua_upvalueindex(1), ++i) == LUA_TNIL)
			return 1;
		lua_pushvalue(L, 2);
	} while (lua_rawget(L, 1) == LUA_TNIL);
	return 2;
}

static int contents_pairs(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_pushvalue(L, 1);
	lua_pushnil(L);
	return 3;
}

/* Pushes a table for contents, which raises for unknown names, and the table of their order. */
static void push_contents(lua_State *L, const char *what)
{
	lua_newtable(L);
	lua_newtable(L);
	lua_createtable(L, 0, 4);
	lua_pushstring(L, what);
	lua_pushcclosure(L, contents_unknown, 1);
	lua_setfield(L, -2, "__index");
	lua_pushstring(L, what);
	lua_pushcclosure(L, contents_tostring, 1);
	lua_setfield(L, -2, "__tostring");
	lua_pushvalue(L, -2);
	lua_pushcclosure(L, contents_next, 1);
	lua_pushcclosure(L, contents_pairs, 1);
	lua_setfield(L, -2, "__pairs");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable"); /* scripts can't access these functions */
	lua_setmetatable(L, -3);
}

/* Pops the handle at the top, and adds it to the table, the order and the list below it. */
static void contents_add(lua_State *L, const char *name, lua_Integer i)
{
	lua_pushvalue(L, -1);
	lua_rawseti(L, -3, i); /* table, order, list, handle */
	lua_pushstring(L, name);
	lua_pushvalue(L, -1);
	lua_rawseti(L, -5, i);
	lua_pushvalue(L, -1);
	lua_pushinteger(L, i);
	lua_rawset(L, -6);
	lua_insert(L, -2);
	lua_rawset(L, -5);
}

static void object_make_maps(lua_State *L, int idx, struct lbpf_object *o)
{
	struct bpf_map *map;
	lua_Integer i = 0;

	push_contents(L, "map");
	lua_newtable(L);
	lua_pushvalue(L, -1);
	lua_setiuservalue(L, idx, LBPF_OBJECT_MAP_LIST);
	bpf_object__for_each_map(map, o->obj)
	{
		const char *name = lbpf_declared_name(o->obj, map);

		lbpf_map_push_declared(L, idx, map, name, bpf_object__btf(o->obj));
		lbpf_like_declare(L);
		contents_add(L, name, ++i);
	}
	lua_pop(L, 2);
	lua_setiuservalue(L, idx, LBPF_OBJECT_MAPS);
}

static void object_make_progs(lua_State *L, int idx, struct lbpf_object *o)
{
	struct bpf_program *prog;
	lua_Integer i = 0;

	push_contents(L, "program");
	lua_newtable(L);
	lua_pushvalue(L, -1);
	lua_setiuservalue(L, idx, LBPF_OBJECT_PROG_LIST);
	bpf_object__for_each_program(prog, o->obj)
	{
		lbpf_program_push(L, idx, prog, bpf_object__btf(o->obj));
		contents_add(L, bpf_program__name(prog), ++i);
	}
	lua_pop(L, 2);
	lua_setiuservalue(L, idx, LBPF_OBJECT_PROGS);
}

struct lbpf_object *lbpf_object_new(lua_State *L)
{
	struct lbpf_object *o = lbpf_class_new(L, &lbpf_object_class, sizeof(*o), LBPF_OBJECT_SLOTS);

	lua_newtable(L);
	lua_setiuservalue(L, -2, LBPF_OBJECT_LINKS);
	return o;
}

void lbpf_object_fill(lua_State *L, int idx, struct lbpf_object *o)
{
	if (!*o->name)
		strncpy(o->name, bpf_object__name(o->obj), sizeof(o->name) - 1);
	object_make_maps(L, idx, o);
	object_make_progs(L, idx, o);
	o->vars = lbpf_vars_push(L, idx, o->obj);
	lua_setiuservalue(L, idx, LBPF_OBJECT_VARS);
}

/* ---- attaching ---- */

/* Whether programs of this type are attached at all: those of type syscall are run, and those of struct_ops belong to a
 * map, which is attached. */
static bool is_attachable(enum bpf_prog_type type)
{
	return type != BPF_PROG_TYPE_SYSCALL && type != BPF_PROG_TYPE_STRUCT_OPS;
}

/* Pushes nil, message and code: no program was attached. The sequence of names is at idx. */
static int attach_nothing(lua_State *L, const struct lbpf_object *o, int idx)
{
	luaL_Buffer b;

	luaL_buffinit(L, &b);
	for (lua_Integer i = 1; i <= (lua_Integer)lua_rawlen(L, idx); i++) {
		luaL_addstring(&b, i > 1 ? ", '" : "'");
		lua_rawgeti(L, idx, i);
		luaL_addvalue(&b);
		luaL_addstring(&b, "'");
	}
	luaL_pushresult(&b);
	lua_pushfstring(L,
			"nothing was attached, because the sections of %s name no place: attach each by the method for "
			"its "
			"type, such as prog:attach_xdp(interface)",
			lua_tostring(L, -1));
	return lbpf_err_push(L, EOPNOTSUPP, lua_tostring(L, -1), "object '%s': attach", o->name);
}

/*** Attaches every program to the place that its section names. Left out are programs whose section names no place,
such as SEC("xdp") or SEC("tc"), programs that were not loaded, and programs whose autoattach is off. If a program
fails, the programs that this call attached are detached again.
@function object:attach
@treturn true; then a sequence of the names of programs whose section names no place, if there
 are any
@treturn nil,string,string on failure; EOPNOTSUPP if the sections of all programs name no place
@usage
assert(obj:attach())
obj:detach()
@see bpf_program__attach */
static int object_attach(lua_State *L)
{
	struct lbpf_object *o = lbpf_object_check(L);
	int attached = 0, left = 0, err;

	if (!o->loaded)
		luaL_error(L, "object '%s' is not loaded; call obj:load() first", o->name);
	lua_settop(L, 1);
	lua_getiuservalue(L, 1, LBPF_OBJECT_PROG_LIST);
	lua_newtable(L); /* the links that this call has made */
	lua_newtable(L); /* the names of programs whose section names no place */
	for (lua_Integer i = 1; lua_rawgeti(L, 2, i) == LUA_TUSERDATA; i++, lua_settop(L, 4)) {
		struct lbpf_program *p = lua_touserdata(L, -1);
		bool attachable;

		/* Attaching the previous program may have run a finalizer that closed it. */
		lbpf_object_check(L);
		if (bpf_program__fd(p->prog) < 0 || !bpf_program__autoattach(p->prog))
			continue;
		attachable = is_attachable(bpf_program__type(p->prog));
		err = lbpf_attach_auto(L, 5, 1);
		if (!err) {
			lua_rawseti(L, 3, ++attached);
			continue;
		}
		if (err == LBPF_ATTACH_NOWHERE) {
			lua_pushstring(L, p->name);
			if (attachable)
				lua_rawseti(L, 4, ++left);
			continue;
		}
		for (; attached; attached--, lua_pop(L, 1)) {
			lua_rawgeti(L, 3, attached);
			lbpf_link_close(L, -1);
		}
		return 3;
	}
	lua_settop(L, 4);
	if (left && !attached)
		return attach_nothing(L, o, 4);
	lua_pushboolean(L, 1);
	if (!left)
		return 1;
	lua_pushvalue(L, 4);
	return 2;
}

/*** Detaches every link of the object. The object stays loaded, and its programs can be attached again.
@function object:detach
@treturn true
@usage
assert(obj:attach())
obj:detach()
*/
static int object_detach(lua_State *L)
{
	lbpf_object_check(L);
	lbpf_link_close_all(L, 1, true);
	lua_pushboolean(L, 1);
	return 1;
}

/* Pushes the BTF handle that scripts got last for the object at 1, unless it is closed. */
static bool push_btf(lua_State *L)
{
	if (lua_getiuservalue(L, 1, LBPF_OBJECT_BTF) == LUA_TUSERDATA &&
	    ((struct lbpf_btf *)lua_touserdata(L, -1))->btf)
		return true;
	lua_pop(L, 1);
	return false;
}

/*** Returns the object's BTF, which describes its types, functions and variables.
@function object:btf
@treturn bpf.btf a handle, which closes with the object
@treturn nil,string,string on failure: ENODATA (the object was compiled without -g)
@usage
local btf = assert(obj:btf())
print(btf:print "struct bpf_perf_event_value") -- its definition in C
*/
static int object_btf(lua_State *L)
{
	struct lbpf_object *o = lbpf_object_check(L);
	struct lbpf_btf *handle;

	lua_settop(L, 1);
	if (!bpf_object__btf(o->obj))
		return lbpf_err_push(L, ENODATA, "it has none; clang needs -g", "object '%s': BTF", o->name);
	if (push_btf(L))
		return 1;
	handle = lbpf_btf_push_borrowed(L, NULL, 1, o->name);
	lbpf_object_check(L); /* a finalizer may have closed the object, or pushed the handle itself */
	if (push_btf(L))
		return 1;
	handle->btf = bpf_object__btf(o->obj);
	lua_pushvalue(L, 2);
	lua_setiuservalue(L, 1, LBPF_OBJECT_BTF);
	lua_settop(L, 2);
	return 1;
}

/*** Returns the object's name. By default it is the file's name up to the first dot. It is cut to 15 bytes.
@function object:name
@treturn string
@usage
print(obj:name()) -- counters
@see bpf_object__name */
static int object_name(lua_State *L)
{
	struct lbpf_object *o = lbpf_class_check(L, 1, &lbpf_object_class);

	lua_pushstring(L, o->name);
	return 1;
}

/*** Closes the object with its links, programs and maps. Closing it twice is allowed. What is pinned stays.
@function object:close
@treturn true
@usage
obj:close()
@see bpf_object__close */
static int object_close(lua_State *L)
{
	return lbpf_class_close(L, &lbpf_object_class);
}

static const struct {
	const char *name;
	int slot;
} fields[] = {
	{ "maps", LBPF_OBJECT_MAPS },
	{ "progs", LBPF_OBJECT_PROGS },
	{ "vars", LBPF_OBJECT_VARS },
};

/* Methods are in the upvalue; maps, progs and vars are fields. */
static int object_index(lua_State *L)
{
	struct lbpf_object *o = lbpf_class_check(L, 1, &lbpf_object_class);
	const char *name;

	lua_pushvalue(L, 2);
	if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL)
		return 1;
	name = lua_type(L, 2) == LUA_TSTRING && lbpf_arg_is_text(L, 2) ? lua_tostring(L, 2) : "";
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
		if (strcmp(name, fields[i].name) == 0) {
			lua_getiuservalue(L, 1, fields[i].slot);
			return 1;
		}
	return luaL_error(L, "object '%s' has no '%s' (it has maps, progs, vars and methods)", o->name,
			  lbpf_arg_show(L, 2));
}

static int object_tostring(lua_State *L)
{
	struct lbpf_object *o = lbpf_class_check(L, 1, &lbpf_object_class);
	int maps, progs;

	if (!o->obj) {
		lua_pushfstring(L, "bpf.object: %s (closed)", o->name);
		return 1;
	}
	lua_getiuservalue(L, 1, LBPF_OBJECT_MAP_LIST);
	lua_getiuservalue(L, 1, LBPF_OBJECT_PROG_LIST);
	maps = (int)lua_rawlen(L, -2);
	progs = (int)lua_rawlen(L, -1);
	lua_pushfstring(L, "bpf.object: %s (%d map%s, %d program%s, %s)", o->name, maps, maps == 1 ? "" : "s", progs,
			progs == 1 ? "" : "s", o->loaded ? "loaded" : "not loaded");
	return 1;
}

static const luaL_Reg object_methods[] = {
	{ "attach", object_attach }, { "detach", object_detach }, { "close", object_close },
	{ "name", object_name },     { "btf", object_btf },	  { NULL, NULL },
};

static const luaL_Reg object_meta[] = {
	{ "__index", object_index },
	{ "__tostring", object_tostring },
	{ NULL, NULL },
};

const struct lbpf_class lbpf_object_class = {
	.name = "bpf.object",
	.descriptors = 4,
	.methods = object_methods,
	.meta = object_meta,
	.release = lbpf_object_release,
};

void lbpf_object_open(lua_State *L)
{
	lbpf_class_register(L, &lbpf_object_class);
}
