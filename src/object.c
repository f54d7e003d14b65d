/* SPDX-License-Identifier: MIT */
/* Compiled BPF objects: open, configure, load, attach, close.
 *
 * The handle owns libbpf's object and everything in it, or borrows it of a C host, which closes it later. Handles of
 * its maps, programs and variables borrow; before the object goes, its links are closed and those handles cleared, so a
 * script that keeps one gets an error. */
#include "object.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "arg.h"
#include "attach.h"
#include "btfopen.h"
#include "cause.h"
#include "class.h"
#include "err.h"
#include "features.h"
#include "legacy.h"
#include "link.h"
#include "map.h"
#include "memory.h"
#include "pins.h"
#include "program.h"
#include "spare.h"

/* User values. The scripts' tables of maps and programs are theirs to spoil; the lists are ours. */
enum {
	OBJECT_LINKS = LBPF_OWNER_LINKS,
	OBJECT_MAPS,
	OBJECT_PROGS,
	OBJECT_VARS,
	OBJECT_MAP_LIST,
	OBJECT_PROG_LIST,
	OBJECT_BTF,	 /* the handle that scripts got last */
	OBJECT_CORE_BTF, /* the path of option `btf` */
	OBJECT_SLOTS = OBJECT_CORE_BTF
};

/* Calls fn for every userdata of a list that the object at idx keeps. */
static void object_each(lua_State *L, int idx, int list, void (*fn)(void *self, bool *seen), bool *seen)
{
	int top = lua_gettop(L);

	if (lua_getiuservalue(L, idx, list) == LUA_TTABLE)
		for (lua_Integer i = 1; lua_rawgeti(L, top + 1, i) == LUA_TUSERDATA; i++) {
			fn(lua_touserdata(L, -1), seen);
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
	if (lua_getiuservalue(L, idx, OBJECT_BTF) == LUA_TUSERDATA)
		((struct lbpf_btf *)lua_touserdata(L, -1))->btf = NULL;
	lua_pop(L, 1);
}

/* To find an attach target, libbpf opens the BTF of every module, and closes none before the load has come to its end:
 * so one of nothing. */
static void end_search(struct bpf_object *obj)
{
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
	bpf_object__load(obj);
}

static void object_release(lua_State *L, int idx, void *self)
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
	object_each(L, idx, OBJECT_MAP_LIST, orphan_map, NULL);
	object_each(L, idx, OBJECT_PROG_LIST, orphan_program, &searched);
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

static struct lbpf_object *object_check(lua_State *L)
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

/* __index of obj.maps and obj.progs: a name that isn't there. */
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

/* Pushes a table for contents, whose unknown names raise. */
static void push_contents(lua_State *L, const char *what)
{
	lua_newtable(L);
	lua_createtable(L, 0, 3);
	lua_pushstring(L, what);
	lua_pushcclosure(L, contents_unknown, 1);
	lua_setfield(L, -2, "__index");
	lua_pushstring(L, what);
	lua_pushcclosure(L, contents_tostring, 1);
	lua_setfield(L, -2, "__tostring");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable"); /* scripts can't get at these functions */
	lua_setmetatable(L, -2);
}

/* Adds the handle at the top, popped, to the table and the list below it. */
static void contents_add(lua_State *L, const char *name, lua_Integer i)
{
	lua_pushvalue(L, -1);
	lua_rawseti(L, -3, i); /* table, list, handle */
	lua_pushstring(L, name);
	lua_insert(L, -2);
	lua_rawset(L, -4);
}

static void object_make_maps(lua_State *L, int idx, struct lbpf_object *o)
{
	struct bpf_map *map;
	lua_Integer i = 0;

	push_contents(L, "map");
	lua_newtable(L);
	lua_pushvalue(L, -1);
	lua_setiuservalue(L, idx, OBJECT_MAP_LIST);
	bpf_object__for_each_map(map, o->obj)
	{
		lbpf_map_push_declared(L, idx, map, bpf_object__btf(o->obj));
		contents_add(L, bpf_map__name(map), ++i);
	}
	lua_pop(L, 1);
	lua_setiuservalue(L, idx, OBJECT_MAPS);
}

static void object_make_progs(lua_State *L, int idx, struct lbpf_object *o)
{
	struct bpf_program *prog;
	lua_Integer i = 0;

	push_contents(L, "program");
	lua_newtable(L);
	lua_pushvalue(L, -1);
	lua_setiuservalue(L, idx, OBJECT_PROG_LIST);
	bpf_object__for_each_program(prog, o->obj)
	{
		lbpf_program_push(L, idx, prog, bpf_object__btf(o->obj));
		contents_add(L, bpf_program__name(prog), ++i);
	}
	lua_pop(L, 1);
	lua_setiuservalue(L, idx, OBJECT_PROGS);
}

static struct lbpf_object *object_new(lua_State *L)
{
	struct lbpf_object *o = lbpf_class_new(L, &lbpf_object_class, sizeof(*o), OBJECT_SLOTS);

	lua_newtable(L);
	lua_setiuservalue(L, -2, OBJECT_LINKS);
	return o;
}

/* Makes the handles of what libbpf's object holds. */
static void object_fill(lua_State *L, int idx, struct lbpf_object *o)
{
	strncpy(o->name, bpf_object__name(o->obj), sizeof(o->name) - 1);
	object_make_maps(L, idx, o);
	object_make_progs(L, idx, o);
	o->vars = lbpf_vars_push(L, idx, o->obj);
	lua_setiuservalue(L, idx, OBJECT_VARS);
}

/* ---- opening ---- */

struct open {
	const char *path; /* or bytes */
	const void *bytes;
	size_t len;
	const char *name, *pin_root, *kconfig, *btf;
};

#define FIELD(name)                                                 \
	{                                                           \
#name, LBPF_OPT_STRING, offsetof(struct open, name) \
	}

static const struct lbpf_option open_options[] = {
	FIELD(name),
	FIELD(pin_root),
	FIELD(kconfig),
	FIELD(btf),
	{ "vars", LBPF_OPT_OTHER, 0 },
	{ "maps", LBPF_OPT_OTHER, 0 },
	{ "autoload", LBPF_OPT_OTHER, 0 },
	{ NULL, LBPF_OPT_OTHER, 0 },
};

/* Reads the source at 1, a path or { bytes = }, and the options at 2. */
static void open_read(lua_State *L, struct open *open, const char *what)
{
	static const struct lbpf_option source[] = {
		{ "bytes", LBPF_OPT_OTHER, 0 },
		{ NULL, LBPF_OPT_OTHER, 0 },
	};

	lua_settop(L, 2);
	if (lua_istable(L, 1)) {
		lbpf_arg_options(L, 1, source, NULL, what);
		lua_getfield(L, 1, "bytes");
		luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, 1, "path or { bytes = string } expected");
		open->bytes = lua_tolstring(L, -1, &open->len); /* stays on the stack */
	} else {
		open->path = lbpf_arg_string(L, 1);
		lua_pushnil(L);
	}
	lbpf_arg_own(L, 2);
	lbpf_arg_options(L, 2, open_options, open, what);
	if (!open->path && !open->name)
		open->name = "bytes"; /* libbpf would make one of addresses */
}

static int open_fail(lua_State *L, const struct open *open, int err, const char *cause)
{
	return lbpf_err_push(L, err, cause, "open '%s'", open->path ? open->path : open->name);
}

/* The name that libbpf gives to the object of a file: the file's, up to the first dot. */
static const char *open_name(const struct open *open, char *name, size_t size)
{
	const char *slash;

	if (open->name)
		return open->name;
	slash = strrchr(open->path, '/');
	snprintf(name, size, "%s", slash ? slash + 1 : open->path);
	name[strcspn(name, ".")] = '\0';
	return name;
}

/* Whether libbpf's answer, which isn't NULL, is no object. 1.1 takes the size of an extern variable for an error if it
 * doesn't fit an int, and what is no errno then looks like an address, in the last 2 GiB, where user space has none. */
static bool is_no_object(const struct bpf_object *obj)
{
	return sizeof(intptr_t) == 8 && (intptr_t)obj < 0 && (intptr_t)obj >= INT32_MIN;
}

/* Has libbpf open what was looked through. Returns an errno. */
static int open_libbpf(const struct open *open, const struct lbpf_legacy *legacy, struct lbpf_object *o)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .pin_root_path = open->pin_root, .kconfig = open->kconfig,
		    .btf_custom_path = open->btf);
	char name[sizeof(o->name)];
	struct bpf_object *obj;

	opts.object_name = open_name(open, name, sizeof(name));
	if (legacy->foreign && open->path)
		opts.object_name = open->path; /* for its messages, which name the object */
	obj = legacy->bytes ? bpf_object__open_mem(legacy->bytes, legacy->size, &opts)
			    : bpf_object__open_mem(open->bytes, open->len, &opts);
	if (!obj)
		return errno;
	if (is_no_object(obj))
		return LIBBPF_ERRNO__FORMAT;
	if (legacy->foreign) { /* it wasn't looked through */
		bpf_object__close(obj);
		return LIBBPF_ERRNO__FORMAT;
	}
	o->obj = obj;
	return 0;
}

/* Opens what is given, by way of bytes that may have been rewritten. Returns an errno. */
static int open_call(lua_State *L, const struct open *open, struct lbpf_object *o, struct lbpf_legacy *legacy,
		     struct lbpf_log **log)
{
	int err;

	*log = lbpf_log_begin(L);
	/* nothing of Lua's runs until legacy->bytes are freed */
	err = open->path ? lbpf_legacy_file(open->path, legacy) : lbpf_legacy_bytes(open->bytes, open->len, legacy);
	if (!err)
		err = open_libbpf(open, legacy, o);
	free(legacy->bytes);
	legacy->bytes = NULL;
	lbpf_log_end(*log);
	return err;
}

/* The number at idx, of entries. */
static uint32_t map_entries(lua_State *L, const struct lbpf_map *map, int idx)
{
	int is_int;
	lua_Integer n = lua_tointegerx(L, idx, &is_int);

	if (!is_int || n < 1 || n > UINT32_MAX)
		luaL_error(L, "option 'maps': '%s' must have from 1 to 4294967295 entries, not %s", map->name,
			   luaL_tolstring(L, idx, NULL));
	return (uint32_t)n;
}

/* Sets what option `maps` says of the map at the top: entries, a table of settings, a map to use instead, or whether it
 * is created. */
static void option_map(lua_State *L, struct lbpf_map *map, int idx)
{
	struct settings {
		uint32_t max_entries;
	} settings = { 0 };
	static const struct lbpf_option rows[] = {
		{ "max_entries", LBPF_OPT_U32, offsetof(struct settings, max_entries) },
		{ NULL, LBPF_OPT_OTHER, 0 },
	};
	struct lbpf_map *other = lbpf_class_test(L, idx, &lbpf_map_class);
	struct lbpf_log *log;
	int err = 0;

	if (other) {
		if (other->fd < 0)
			lbpf_map_unusable(L, other);
		if (other->type != map->type || other->key_size != map->key_size ||
		    other->value_size != map->value_size)
			luaL_error(L,
				   "map '%s': the map to use instead is a %s with keys of %I and values of %I bytes, "
				   "the declared one a %s with %I and %I",
				   map->name, other->kind->name, (LUAI_UACINT)other->key_size,
				   (LUAI_UACINT)other->value_size, map->kind->name, (LUAI_UACINT)map->key_size,
				   (LUAI_UACINT)map->value_size);
		if (lbpf_map_is_fixed(map, other->max_entries))
			luaL_error(L, "map '%s': the map to use instead must have one entry, for it holds variables",
				   map->name);
		log = lbpf_log_begin(L);
		err = bpf_map__reuse_fd(map->of, other->fd);
		lbpf_log_end(log);
	} else if (lua_isboolean(L, idx)) {
		if (bpf_map__is_internal(map->of))
			luaL_error(L, "map '%s' holds the object's variables, and is created with it", map->name);
		err = bpf_map__set_autocreate(map->of, lua_toboolean(L, idx));
	} else {
		if (lua_type(L, idx) == LUA_TNUMBER)
			settings.max_entries = map_entries(L, map, idx);
		else if (lua_istable(L, idx))
			lbpf_arg_options(L, idx, rows, &settings, "option 'maps'");
		else
			luaL_error(L, "option 'maps': '%s' must be an integer, a table, a map or a boolean, got %s",
				   map->name, luaL_typename(L, idx));
		if (settings.max_entries && lbpf_map_is_fixed(map, settings.max_entries))
			luaL_error(L, "map '%s' holds the object's variables, in one entry", map->name);
		if (settings.max_entries)
			err = bpf_map__set_max_entries(map->of, settings.max_entries);
	}
	if (err)
		lbpf_err_raise(L, err, NULL, "map '%s'", map->name);
	map->max_entries = bpf_map__max_entries(map->of);
}

static void option_autoload(lua_State *L, struct lbpf_program *p, int idx)
{
	if (!lua_isboolean(L, idx))
		luaL_error(L, "option 'autoload': '%s' must be true or false, got %s", p->name, luaL_typename(L, idx));
	bpf_program__set_autoload(p->prog, lua_toboolean(L, idx));
}

/* Applies the settings in the table at 1 to the contents at 2, which are those of user value 3. */
static int configure(lua_State *L)
{
	int slot = (int)lua_tointeger(L, 3);

	for (lua_pushnil(L); lua_next(L, 1); lua_settop(L, 4)) {
		lua_pushvalue(L, 4);
		if (slot == OBJECT_VARS) {
			lua_pushvalue(L, 5);
			lua_settable(L, 2);
			continue;
		}
		lua_gettable(L, 2); /* raises for a name that isn't there */
		if (slot == OBJECT_MAPS)
			option_map(L, lua_touserdata(L, -1), 5);
		else
			option_autoload(L, lua_touserdata(L, -1), 5);
	}
	return 0;
}

/* Applies fields `option` of the table at 2 to the contents in user value `slot` of the object at idx. */
static void open_configure(lua_State *L, int idx, const char *option, int slot)
{
	lua_pushcfunction(L, configure);
	if (lua_istable(L, 2) && lua_getfield(L, 2, option) != LUA_TNIL) {
		luaL_argexpected(L, lua_istable(L, -1), 2, "table of options by name");
		lua_getiuservalue(L, idx, slot);
		lua_pushinteger(L, slot);
		lbpf_call(L, 3, 0);
	}
	lua_settop(L, idx);
}

/* Pushes the opened object, whose arguments are at 1 and 2; or nil, message and code. Returns how many. */
static int object_push_opened(lua_State *L, const char *what)
{
	struct lbpf_legacy legacy;
	struct open open = { 0 };
	struct lbpf_object *o;
	struct lbpf_log *log;
	int err, idx;

	open_read(L, &open, what);
	o = object_new(L);
	idx = lua_gettop(L);
	lua_pushstring(L, open.btf);
	lua_setiuservalue(L, idx, OBJECT_CORE_BTF);
	err = open_call(L, &open, o, &legacy, &log);
	if (err) {
		err = open_fail(L, &open, err, *legacy.cause ? legacy.cause : lbpf_log_push_last(L, log));
		lbpf_log_deliver(L, log);
		return err;
	}
	lbpf_log_deliver(L, log);
	object_fill(L, idx, o);
	open_configure(L, idx, "maps", OBJECT_MAPS);
	open_configure(L, idx, "vars", OBJECT_VARS);
	open_configure(L, idx, "autoload", OBJECT_PROGS);
	return 1;
}

/*** Opens a compiled BPF object; nothing reaches the kernel yet. Maps may be declared as before libbpf 1.0, by a struct
of numbers in section "maps".
@function bpf.open
@tparam string|table source path of the ELF file, or `{ bytes = "…" }`
@tparam ?table options
- name: of the object, by default from the file's name
- vars: `{ name = value }`, initial values of global variables
- maps: `{ name = … }`, where … is max_entries, `{ max_entries = }`, an existing map to use instead, or false for none:
  programs that are loaded may not get at that one
- autoload: `{ program = false }`, which programs not to load
- pin_root: directory on a bpffs for maps that are pinned by name
- kconfig: text of additional kernel configuration for extern variables
- btf: path of a kernel BTF for CO-RE, in place of the running kernel's; a regular file
@treturn bpf.object the object, with its maps, programs and variables
@treturn nil,string,string on failure: ENOENT, EISDIR, EINVAL (no regular file), EFBIG (1 GiB or more),
 LIBBPF_ERRNO__FORMAT (no BPF object, a damaged one, or a malformed old map), LIBBPF_ERRNO__ENDIAN, …
@see bpf_object__open_file, bpf_object__open_mem */
static int object_open(lua_State *L)
{
	return object_push_opened(L, "bpf.open");
}

/* ---- loading ---- */

/* The program that the kernel refused, copied: a finalizer may close the object while the message is made. */
struct refused {
	char name[256]; /* "" if it was no program */
	char kind[256];
	uint32_t type;
	size_t at; /* where libbpf's messages tell of it; logs before are of programs that the verifier took */
};

/* Finds it by libbpf's message, which begins "prog '<name>': BPF program load failed". */
static void find_refused(struct refused *refused, const struct lbpf_object *o, const char *text)
{
	const char *end = strstr(text, "': BPF program load failed"), *begin = end, *type;
	struct bpf_program *prog;

	while (begin && begin > text && begin[-1] != '\'')
		begin--;
	*refused->name = '\0';
	refused->at = end ? (size_t)(end - text) : strlen(text);
	if (!end || (size_t)(end - begin) >= sizeof(refused->name))
		return;
	memcpy(refused->name, begin, (size_t)(end - begin));
	refused->name[end - begin] = '\0';
	for (prog = bpf_object__next_program(o->obj, NULL); prog; prog = bpf_object__next_program(o->obj, prog))
		if (strcmp(bpf_program__name(prog), refused->name) == 0)
			break;
	refused->type = prog ? bpf_program__type(prog) : BPF_PROG_TYPE_UNSPEC;
	type = lbpf_program_type_name(refused->type);
	/* the section has the target, of which it may depend whether the kernel takes the program */
	snprintf(refused->kind, sizeof(refused->kind), "type %s, section '%s'", type ? type : "unknown",
		 prog ? bpf_program__section_name(prog) : "");
}

/* Pushes the verifier's log out of libbpf's messages, or an empty one. */
static const char *push_verifier_log(lua_State *L, const char *text)
{
	static const char begin_mark[] = "-- BEGIN PROG LOAD LOG --\n", end_mark[] = "-- END PROG LOAD LOG --";
	const char *begin = strstr(text, begin_mark), *end;

	begin = begin ? begin + sizeof(begin_mark) - 1 : "";
	end = strstr(begin, end_mark);
	return lua_pushlstring(L, begin, end ? (size_t)(end - begin) : 0);
}

/* Pushes why a load failed, or returns NULL where errno says it all. */
static const char *push_load_cause(lua_State *L, const struct refused *refused, int err, const char *text)
{
	const char *log = push_verifier_log(L, text + refused->at), *complaint;
	size_t len;

	complaint = lbpf_verifier_complaint(log, &len);
	if (complaint) {
		complaint = lua_pushlstring(L, complaint, len);
		return lua_pushfstring(L, "prog '%s' refused by the verifier: %s", refused->name, complaint);
	}
	if (*refused->name && (err == EPERM || err == EACCES))
		return lua_pushfstring(L, "prog '%s': %s", refused->name,
				       lbpf_refused_kind(L, refused->kind, lbpf_features_needs(refused->type)));
	if (err == EPERM)
		return lbpf_refused(L, "CAP_BPF, CAP_PERFMON or CAP_NET_ADMIN");
	/* the first message is the cause, the rest follows from it */
	return *text ? lua_pushlstring(L, text, strcspn(text, "\n")) : NULL;
}

/* Pushes nil, message, code and libbpf's lines with the whole verifier log. */
static int load_fail(lua_State *L, const struct lbpf_object *o, int err, struct lbpf_log *log)
{
	struct refused refused;
	const char *text;

	find_refused(&refused, o, lbpf_log_text(log));
	luaL_checkstack(L, 20, NULL);
	text = lua_pushstring(L, lbpf_log_text(log));
	lbpf_err_push(L, err, push_load_cause(L, &refused, err, text), "object '%s': load", o->name);
	lua_pushstring(L, text);
	return 4;
}

static void map_loaded(void *self, bool *owned)
{
	struct lbpf_map *map = self;

	if (!map->of)
		return;
	lbpf_map_loaded(map);
	lbpf_mapmem_loaded(map, *owned);
}

/* libbpf answers no such question, but refuses this setting once it has loaded the object. */
static bool is_loaded(struct bpf_object *obj)
{
	return bpf_object__set_kversion(obj, bpf_object__kversion(obj)) != 0;
}

/* Puts the handles of the object at idx in the state of one that is loaded. Returns an errno. */
static int object_loaded(lua_State *L, int idx, struct lbpf_object *o)
{
	bool owned = !o->borrowed;

	o->loaded = true;
	o->process = lbpf_process_number();
	object_each(L, idx, OBJECT_MAP_LIST, map_loaded, &owned);
	return lbpf_vars_loaded(o->vars);
}

/* Looks through the BTF of option `btf`, which libbpf reads when it loads: before 1.3 it follows types that contain
 * themselves without end. Returns 0, or how many values of failure were pushed. */
static int check_core_btf(lua_State *L, int idx, const struct lbpf_object *o)
{
	const char *path, *cause;
	int err;

	lua_getiuservalue(L, idx, OBJECT_CORE_BTF);
	path = lua_tostring(L, -1);
	err = path ? lbpf_btfopen_check(path, &cause) : 0;
	if (!err) {
		lua_pop(L, 1);
		return 0;
	}
	lbpf_err_push(L, err, cause, "object '%s': load: option 'btf': '%s'", o->name, path);
	lua_pushliteral(L, "");
	return 4;
}

/* How many descriptors it takes at most, with those by which libbpf learns what the kernel can do. */
static unsigned int descriptors_of(const struct bpf_object *obj)
{
	struct bpf_program *prog;
	struct bpf_map *map;
	unsigned int n = 6;

	bpf_object__for_each_program(prog, obj)
	{
		n += bpf_program__autoload(prog);
	}
	bpf_object__for_each_map(map, obj)
	{
		n += bpf_map__inner_map(map) ? 2 : 1; /* the template as well */
	}
	return n;
}

/* Loads the object at idx. Returns 0, or how many values were pushed: nil, message, code, log. */
static int object_do_load(lua_State *L, int idx, struct lbpf_object *o)
{
	int err = lbpf_spare(L, descriptors_of(o->obj));
	struct lbpf_log *log;

	if (err) /* libbpf hasn't been called, so it can be loaded later */
		return lbpf_err_push(L, err, NULL, "object '%s': load", o->name);
	if (!o->obj) /* a finalizer has closed it */
		luaL_error(L, "object '%s' is closed", o->name);
	err = check_core_btf(L, idx, o);
	if (err) {
		object_release(L, idx, o);
		return err;
	}
	log = lbpf_log_begin(L);
	err = o->borrowed && is_loaded(o->obj) ? 0 : lbpf_pins_load(o->obj); /* its host may have done it */
	lbpf_log_end(log);
	if (err) {
		/* libbpf can't load it again, and its maps are gone */
		err = load_fail(L, o, -err, log);
		lbpf_log_deliver(L, log);
		object_release(L, idx, o);
		return err;
	}
	err = object_loaded(L, idx, o);
	if (err) {
		err = lbpf_err_push(L, err, NULL, "object '%s': mapping its variables", o->name);
		object_release(L, idx, o);
		return err;
	}
	lbpf_log_deliver(L, log);
	return 0;
}

/*** Creates the object's maps and loads its programs into the kernel. A failed object is closed: open it again to
retry.
@function object:load
@treturn true
@treturn nil,string,string,string on failure: message with the verifier's telling line, code, and libbpf's lines with
 the whole verifier log; EACCES (refused by the verifier), EPERM (a capability is missing, or the kernel takes no
 programs of this kind, which the message then says), EINVAL, …
@see bpf_object__load */
static int object_load(lua_State *L)
{
	struct lbpf_object *o = object_check(L);
	int n;

	if (o->loaded)
		luaL_error(L, "object '%s' is loaded already", o->name);
	n = object_do_load(L, 1, o);
	if (n)
		return n;
	lua_pushboolean(L, 1);
	return 1;
}

/*** Opens and loads a compiled BPF object.
@function bpf.load
@tparam string|table source as for bpf.open
@tparam ?table options as for bpf.open
@treturn bpf.object the loaded object
@treturn nil,string,string,?string on failure, as from bpf.open and object:load */
static int object_open_load(lua_State *L)
{
	int n = object_push_opened(L, "bpf.load"), idx = lua_gettop(L);
	struct lbpf_object *o;

	if (n != 1)
		return n;
	o = lua_touserdata(L, idx);
	n = object_do_load(L, idx, o);
	return n ? n : 1;
}

/* ---- a host's object ---- */

/* With the handle as the argument. Returns an errno as a Lua integer. */
static int fill_host(lua_State *L)
{
	struct lbpf_object *o = lua_touserdata(L, 1);

	object_fill(L, 1, o);
	lua_pushinteger(L, is_loaded(o->obj) ? object_loaded(L, 1, o) : 0);
	return 1;
}

int lbpf_object_push_borrowed(lua_State *L, struct bpf_object *obj)
{
	struct lbpf_object *o = object_new(L);
	int status, err;

	o->borrowed = true;
	o->obj = obj;
	lua_pushcfunction(L, fill_host);
	lua_pushvalue(L, -2);
	status = lua_pcall(L, 1, 1, 0);
	err = status == LUA_OK ? (int)lua_tointeger(L, -1) : 0;
	if (status != LUA_OK || err)
		object_release(L, -2, o); /* now: its host may close the object before the handle is collected */
	if (status != LUA_OK)
		lua_error(L);
	lua_pop(L, 1);
	return err;
}

/* ---- attaching ---- */

/*** Attaches every program by its section. Programs whose section doesn't say where are left out, and so are those
whose autoload is off. If one fails, those attached by this call are detached again.
@function object:attach
@treturn true
@treturn nil,string,string on failure
@see bpf_program__attach */
static int object_attach(lua_State *L)
{
	struct lbpf_object *o = object_check(L);
	int attached = 0, err;

	if (!o->loaded)
		luaL_error(L, "object '%s' is not loaded; call obj:load() first", o->name);
	lua_settop(L, 1);
	lua_getiuservalue(L, 1, OBJECT_PROG_LIST);
	lua_newtable(L); /* the links of this call */
	for (lua_Integer i = 1; lua_rawgeti(L, 2, i) == LUA_TUSERDATA; i++, lua_settop(L, 3)) {
		struct lbpf_program *p = lua_touserdata(L, -1);

		object_check(L); /* attaching the one before may have run a finalizer that closed it */
		if (bpf_program__fd(p->prog) < 0 || !bpf_program__autoattach(p->prog))
			continue;
		err = lbpf_attach_auto(L, 4, 1);
		if (!err) {
			lua_rawseti(L, 3, ++attached);
			continue;
		}
		if (err == LBPF_ATTACH_NOWHERE)
			continue;
		for (; attached; attached--, lua_pop(L, 1)) {
			lua_rawgeti(L, 3, attached);
			lbpf_link_close(L, -1);
		}
		return 3;
	}
	lua_pushboolean(L, 1);
	return 1;
}

/*** Detaches every link of the object.
@function object:detach
@treturn true */
static int object_detach(lua_State *L)
{
	object_check(L);
	lbpf_link_close_all(L, 1, true);
	lua_pushboolean(L, 1);
	return 1;
}

/* ---- pins ---- */

static struct lbpf_object *pins_check(lua_State *L)
{
	struct lbpf_object *o;

	lbpf_arg_string(L, 2); /* makes a string of a number, which may run a finalizer */
	o = object_check(L);
	if (!o->loaded)
		luaL_error(L, "object '%s' is not loaded; call obj:load() first", o->name);
	return o;
}

/*** Pins all maps and loaded programs of the object in a folder, each under its name, with `_` for dots. If one can't
be, none is.
@function object:pin
@tparam string dir on a bpffs; it is made if it isn't there
@treturn true
@treturn nil,string,string on failure: EEXIST, EPERM (no bpffs), ENOENT, …
@see bpf_object__pin */
static int object_pin(lua_State *L)
{
	struct lbpf_object *o = pins_check(L);
	struct lbpf_pins_failure failure;
	int err = lbpf_pins_make(o->obj, lua_tostring(L, 2), &failure);

	if (err)
		return lbpf_err_push(L, err, failure.cause, "object '%s': pin '%s'", o->name, failure.path);
	lua_pushboolean(L, 1);
	return 1;
}

/*** Removes what object:pin pinned.
@function object:unpin
@tparam string dir as it was given to object:pin
@treturn true
@treturn nil,string,string on failure: ENOENT, EINVAL (the pin of something else), EPERM, …
@see bpf_object__unpin */
static int object_unpin(lua_State *L)
{
	struct lbpf_object *o = pins_check(L);
	struct lbpf_pins_failure failure;
	int err = lbpf_pins_remove(o->obj, lua_tostring(L, 2), &failure);

	if (err)
		return lbpf_err_push(L, err, NULL, "object '%s': unpin '%s'", o->name, failure.path);
	lua_pushboolean(L, 1);
	return 1;
}

/* Pushes the handle that scripts have of the BTF of the object at 1, unless it is closed. */
static bool push_btf(lua_State *L)
{
	if (lua_getiuservalue(L, 1, OBJECT_BTF) == LUA_TUSERDATA && ((struct lbpf_btf *)lua_touserdata(L, -1))->btf)
		return true;
	lua_pop(L, 1);
	return false;
}

/*** The object's BTF: its types, functions and variables.
@function object:btf
@treturn bpf.btf a handle, which closes with the object
@treturn nil,string,string on failure: ENODATA (compiled without -g) */
static int object_btf(lua_State *L)
{
	struct lbpf_object *o = object_check(L);
	struct lbpf_btf *handle;

	lua_settop(L, 1);
	if (!bpf_object__btf(o->obj))
		return lbpf_err_push(L, ENODATA, "it has none; clang needs -g", "object '%s': BTF", o->name);
	if (push_btf(L))
		return 1;
	handle = lbpf_btf_push_borrowed(L, NULL, 1, o->name);
	object_check(L); /* a finalizer may have closed it, or got the handle itself */
	if (push_btf(L))
		return 1;
	handle->btf = bpf_object__btf(o->obj);
	lua_pushvalue(L, 2);
	lua_setiuservalue(L, 1, OBJECT_BTF);
	lua_settop(L, 2);
	return 1;
}

/*** The object's name.
@function object:name
@treturn string
@see bpf_object__name */
static int object_name(lua_State *L)
{
	struct lbpf_object *o = lbpf_class_check(L, 1, &lbpf_object_class);

	lua_pushstring(L, o->name);
	return 1;
}

/*** Closes the object and everything in it: links, programs, maps. Closing twice is fine. What is pinned stays.
@function object:close
@treturn true
@see bpf_object__close */
static int object_close(lua_State *L)
{
	return lbpf_class_close(L, &lbpf_object_class);
}

static const struct {
	const char *name;
	int slot;
} fields[] = {
	{ "maps", OBJECT_MAPS },
	{ "progs", OBJECT_PROGS },
	{ "vars", OBJECT_VARS },
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
	lua_getiuservalue(L, 1, OBJECT_MAP_LIST);
	lua_getiuservalue(L, 1, OBJECT_PROG_LIST);
	maps = (int)lua_rawlen(L, -2);
	progs = (int)lua_rawlen(L, -1);
	lua_pushfstring(L, "bpf.object: %s (%d map%s, %d program%s, %s)", o->name, maps, maps == 1 ? "" : "s", progs,
			progs == 1 ? "" : "s", o->loaded ? "loaded" : "not loaded");
	return 1;
}

static const luaL_Reg object_methods[] = {
	{ "load", object_load },   { "attach", object_attach }, { "detach", object_detach },
	{ "close", object_close }, { "name", object_name },	{ "btf", object_btf },
	{ "pin", object_pin },	   { "unpin", object_unpin },	{ NULL, NULL },
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
	.release = object_release,
};

void lbpf_object_open(lua_State *L)
{
	lbpf_class_register(L, &lbpf_object_class);
	lua_pushcfunction(L, object_open);
	lua_setfield(L, -2, "open");
	lua_pushcfunction(L, object_open_load);
	lua_setfield(L, -2, "load");
}
