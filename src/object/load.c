/* SPDX-License-Identifier: MIT */
/* Loading objects into the kernel. */
#include "object/load.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "base/cause.h"
#include "base/err.h"
#include "base/log.h"
#include "base/newer.h"
#include "base/spare.h"
#include "base/token.h"
#include "btf/file.h"
#include "map/map.h"
#include "object/loadcause.h"
#include "object/mapsettings.h"
#include "object/object.h"
#include "object/pins.h"
#include "object/structops.h"
#include "object/vars.h"
#include "program/program.h"

/* Pushes what an EPERM may have to do with BPF tokens, in a user namespace; elsewhere nothing. */
static const char *push_token_cause(lua_State *L, const struct lbpf_loadcause *found)
{
	if (!lbpf_takes_token())
		return lua_pushliteral(L, "");
	if (!lbpf_newer_token_fd)
		return lua_pushfstring(L,
				       "; in a user namespace it takes a BPF token, which needs libbpf 1.5, here is %s",
				       libbpf_version_string());
	if (!found->by_token)
		return lua_pushliteral(L,
				       "; in a user namespace it takes a BPF token: option 'token_path' of bpf.open");
	return lua_pushliteral(L,
			       "; or the token doesn't allow it: its bpffs delegates what its mount options "
			       "delegate_cmds, delegate_maps, delegate_progs and delegate_attachs say");
}

/* Pushes nil, message, code and libbpf's messages with the complete verifier log, for the object at idx. */
static int load_fail(lua_State *L, int idx, const struct lbpf_object *o, int err, const char *cause,
		     struct lbpf_log *log)
{
	struct lbpf_loadcause found;
	const char *text;

	luaL_checkstack(L, 20, NULL);
	lbpf_loadcause_find(L, idx, o, lbpf_log_text(log), err, &found);
	text = lua_pushstring(L, lbpf_log_text(log));
	if (*cause) {
		found.err = err;
	} else {
		cause = lbpf_loadcause_push(L, &found, text);
		if (found.err == EPERM)
			cause = lua_pushfstring(L, "%s%s", cause, push_token_cause(L, &found));
	}
	lbpf_err_push(L, found.err, cause, "object '%s': load", o->name);
	lua_pushstring(L, text);
	return 4;
}

static void map_loaded(void *self, bool *owned)
{
	struct lbpf_map *map = self;

	if (!map->of)
		return;
	lbpf_map_loaded(map);
	lbpf_map_memory_loaded(map, *owned);
}

/* Whether libbpf has loaded the object. libbpf has no function for this, but refuses to change this setting
 * afterwards. */
static bool is_loaded(struct bpf_object *obj)
{
	return bpf_object__set_kversion(obj, bpf_object__kversion(obj)) != 0;
}

/* Updates the handles of the object at idx after the object was loaded. Returns 0 or an errno. */
static int object_loaded(lua_State *L, int idx, struct lbpf_object *o)
{
	bool owned = !o->borrowed;

	o->loaded = true;
	o->process = lbpf_process_number();
	lbpf_object_each(L, idx, LBPF_OBJECT_MAP_LIST, map_loaded, &owned);
	return lbpf_vars_loaded(o->vars);
}

/* Checks the BTF of option `btf`, which libbpf reads when it loads: libbpf before 1.3 follows types that contain
 * themselves without end. Returns 0, or the number of values that were pushed for a failure. */
static int check_core_btf(lua_State *L, int idx, const struct lbpf_object *o)
{
	const char *path, *cause;
	int err;

	lua_getiuservalue(L, idx, LBPF_OBJECT_CORE_BTF);
	path = lua_tostring(L, -1);
	err = path ? lbpf_btffile_check(path, &cause) : 0;
	if (!err) {
		lua_pop(L, 1);
		return 0;
	}
	lbpf_err_push(L, err, cause, "object '%s': load: option 'btf': '%s'", o->name, path);
	lua_pushliteral(L, "");
	return 4;
}

/* Creates a token, as libbpf will do, because libbpf says less about a failure. Returns 0, or the number of values that
 * were pushed for a failure. */
static int check_token(lua_State *L, int idx, const struct lbpf_object *o)
{
	const char *path;
	int fd, err;

	lua_getiuservalue(L, idx, LBPF_OBJECT_TOKEN);
	path = lua_tostring(L, -1);
	if (!path || !*path || !lbpf_newer_token_fd) {
		lua_pop(L, 1);
		return 0;
	}
	err = lbpf_token_make(L, path, &fd);
	if (!err) {
		close(fd);
		lua_pop(L, 1);
		return 0;
	}
	lbpf_err_push(L, err, lua_tostring(L, -1), "object '%s': load: token '%s'", o->name, path);
	lua_pushliteral(L, "");
	return 4;
}

/* Refuses to load if libbpf would search the kernel's BTF without having read it. Returns 0, or the number of values
 * that were pushed for a failure. */
static int check_kernel_btf(lua_State *L, int idx, struct lbpf_object *o)
{
	const struct lbpf_program *p;
	struct lbpf_log *log;
	int err = 0, top = lua_gettop(L);

	lua_getiuservalue(L, idx, LBPF_OBJECT_PROG_LIST);
	for (lua_Integer i = 1; !err && lua_rawgeti(L, top + 1, i) == LUA_TUSERDATA; i++) {
		p = lua_touserdata(L, -1);
		lua_pop(L, 1); /* the object's list keeps it alive */
		/* what a host has set can't be read */
		if (!o->borrowed && lbpf_program_lacks_target(p))
			err = lbpf_err_push(L, EINVAL, "it has no target; call prog:attach_target(func, target) first",
					    "object '%s': load: program '%s'", o->name, p->name);
	}
	if (!err) {
		log = lbpf_log_begin(L);
		err = lbpf_structops_ready(o->obj) ? 0 : 1;
		lbpf_log_end(log);
		if (err)
			err = lbpf_err_push(L, EOPNOTSUPP,
					    "it has struct_ops maps of which no program is loaded, and libbpf before "
					    "1.2 can't load it",
					    "object '%s': load", o->name);
	}
	if (!err) {
		lua_settop(L, top);
		return 0;
	}
	lua_pushliteral(L, "");
	return 4;
}

/* How many descriptors the load needs at most, with a token, and those that libbpf opens to probe the kernel. */
static unsigned int descriptors_of(const struct bpf_object *obj)
{
	struct bpf_program *prog;
	struct bpf_map *map;
	unsigned int n = 7;

	bpf_object__for_each_program(prog, obj)
	{
		n += bpf_program__autoload(prog);
	}
	bpf_object__for_each_map(map, obj)
	{
		n += bpf_map__inner_map(map) ? 2 : 1; /* and one for the template of its inner maps */
	}
	return n;
}

int lbpf_load(lua_State *L, int idx, struct lbpf_object *o)
{
	struct lbpf_pinned pinned = { .any_type = o->pin_any_type };
	int err = lbpf_spare(L, descriptors_of(o->obj));
	struct lbpf_log *log;

	if (err) /* libbpf hasn't been called, so the object can still be loaded later */
		return lbpf_err_push(L, err, NULL, "object '%s': load", o->name);
	if (!o->obj || o->loaded) /* a finalizer may have closed or loaded it */
		luaL_error(L, "object '%s' is %s", o->name, o->obj ? "loaded already" : "closed");
	err = check_core_btf(L, idx, o);
	if (!err)
		err = check_token(L, idx, o);
	if (err) {
		lbpf_object_release(L, idx, o);
		return err;
	}
	if (!o->borrowed || !is_loaded(o->obj))
		err = check_kernel_btf(L, idx, o);
	if (err) {
		lbpf_object_release(L, idx, o);
		return err;
	}
	lbpf_mapsettings_check(L, idx);
	log = lbpf_log_begin(L);
	err = o->borrowed && is_loaded(o->obj) ? 0 : lbpf_pins_load(o->obj, &pinned); /* its host may have done it */
	lbpf_log_end(log);
	if (err) {
		/* libbpf can't load it again, and its maps are gone */
		err = load_fail(L, idx, o, -err, pinned.cause, log);
		lbpf_log_deliver(L, log);
		lbpf_object_release(L, idx, o);
		return err;
	}
	err = object_loaded(L, idx, o);
	if (err) {
		err = lbpf_err_push(L, err, NULL, "object '%s': mapping its variables", o->name);
		lbpf_object_release(L, idx, o);
		return err;
	}
	lbpf_log_deliver(L, log);
	return 0;
}

/*** Creates the object's maps and loads its programs into the kernel. If that fails, the object is closed: to try
again, open it again.
@function object:load
@treturn true
@treturn nil,string,string,string on failure: the message, which ends with the verifier's reason; the code; and the
 lines that libbpf wrote, with the verifier's complete log. EACCES (the verifier rejects a program), EPERM (a capability
 is missing, or the kernel takes no programs of this kind; the message tells which), EINVAL, …
@usage
local fresh <close> = assert(bpf.open("build/progs/counters.bpf.o"))
local ok, message, code, log = fresh:load()
if not ok then io.stderr:write(message, "\n", log) end
@see bpf_object__load */
static int object_load(lua_State *L)
{
	struct lbpf_object *o = lbpf_object_check(L);
	int n;

	if (o->loaded)
		luaL_error(L, "object '%s' is loaded already", o->name);
	n = lbpf_load(L, 1, o);
	if (n)
		return n;
	lua_pushboolean(L, 1);
	return 1;
}

/* ---- a host's object ---- */

/* Fills in the handle, which is the argument. Returns an errno as a Lua integer. */
static int fill_host(lua_State *L)
{
	struct lbpf_object *o = lua_touserdata(L, 1);

	lbpf_object_fill(L, 1, o);
	lua_pushinteger(L, is_loaded(o->obj) ? object_loaded(L, 1, o) : 0);
	return 1;
}

int lbpf_load_push_borrowed(lua_State *L, struct bpf_object *obj)
{
	struct lbpf_object *o = lbpf_object_new(L);
	int status, err;

	o->borrowed = true;
	o->obj = obj;
	lua_pushcfunction(L, fill_host);
	lua_pushvalue(L, -2);
	status = lua_pcall(L, 1, 1, 0);
	err = status == LUA_OK ? (int)lua_tointeger(L, -1) : 0;
	if (status != LUA_OK || err)
		/* now, because its host may close the object before the handle is collected. */
		lbpf_object_release(L, -2, o);
	if (status != LUA_OK)
		lua_error(L);
	lua_pop(L, 1);
	return err;
}

static const luaL_Reg object_methods[] = {
	{ "load", object_load },
	{ NULL, NULL },
};

void lbpf_load_open(lua_State *L)
{
	lbpf_class_add_methods(L, &lbpf_object_class, object_methods);
}
