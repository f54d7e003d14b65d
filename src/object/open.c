/* SPDX-License-Identifier: MIT */
/* Opening compiled BPF objects: the source, the options, and libbpf's part. */
#include "object/open.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "base/arg.h"
#include "base/err.h"
#include "base/log.h"
#include "base/newer.h"
#include "map/kinds.h"
#include "object/configure.h"
#include "object/legacy.h"
#include "object/load.h"
#include "object/object.h"
#include "object/opencause.h"

struct open {
	const char *path; /* or bytes */
	const void *bytes;
	size_t len;
	const char *name, *pin_root, *kconfig, *btf, *token_path;
	const char *label; /* its name in messages */
	bool pin_any_type;
};

static const struct lbpf_option open_options[] = {
	LBPF_OPTION(STRING, struct open, name),
	LBPF_OPTION(STRING, struct open, pin_root),
	LBPF_OPTION(STRING, struct open, kconfig),
	LBPF_OPTION(STRING, struct open, btf),
	LBPF_OPTION(STRING, struct open, token_path),
	{ "pin_any_type", LBPF_OPT_BOOL, offsetof(struct open, pin_any_type) },
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
	open->label = open->path ? open->path : open->name;
	if (open->label)
		return;
	open->name = "bytes"; /* libbpf would make a name from addresses */
	lbpf_place(L);
	open->label = *lua_tostring(L, -1) ? lua_tostring(L, -1) : open->name; /* stays on the stack */
}

static int open_fail(lua_State *L, const struct open *open, int err, const char *cause)
{
	return lbpf_err_push(L, err, cause, "open '%s'", open->label);
}

/* The name that libbpf gives to the object of a file: the name of the file up to the first dot. */
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

/* Whether libbpf's result, which isn't NULL, is no valid object. libbpf 1.1 returns the size of an extern variable as
 * an error if it doesn't fit into an int. Such a value isn't an errno, so it looks like an address: in the last 2 GiB,
 * where user space has none. */
static bool is_no_object(const struct bpf_object *obj)
{
	return sizeof(intptr_t) == 8 && (intptr_t)obj < 0 && (intptr_t)obj >= INT32_MIN;
}

/* Lets libbpf open the bytes that were checked. Returns 0 or an errno. */
static int open_libbpf(const struct open *open, const struct lbpf_legacy *legacy, struct lbpf_object *o)
{
	struct lbpf_object_open_opts opts;
	char name[sizeof(o->name)];
	struct bpf_object *obj;

	memset(&opts, 0, sizeof(opts));
	opts.sz = sizeof(opts);
	opts.pin_root_path = open->pin_root;
	opts.kconfig = open->kconfig;
	opts.btf_custom_path = open->btf;
	opts.bpf_token_path = lbpf_newer_token_fd ? open->token_path : NULL;
	opts.object_name = open_name(open, name, sizeof(name));
	if (legacy->foreign)
		/* For libbpf's messages, which contain the object's name. */
		opts.object_name = open->label;
	obj = legacy->bytes ? lbpf_newer_open_mem(legacy->bytes, legacy->size, &opts)
			    : lbpf_newer_open_mem(open->bytes, open->len, &opts);
	if (!obj)
		return errno;
	if (is_no_object(obj))
		return LIBBPF_ERRNO__FORMAT;
	if (legacy->foreign) { /* the bytes were not checked */
		bpf_object__close(obj);
		return LIBBPF_ERRNO__FORMAT;
	}
	o->obj = obj;
	return 0;
}

/* Opens the source, by bytes that may have been rewritten. Returns 0 or an errno. */
static int open_call(lua_State *L, const struct open *open, struct lbpf_object *o, struct lbpf_legacy *legacy,
		     struct lbpf_log **log)
{
	int err;

	*log = lbpf_log_begin(L);
	/* no Lua function runs until legacy->bytes are freed */
	err = open->path ? lbpf_legacy_file(open->path, legacy) : lbpf_legacy_bytes(open->bytes, open->len, legacy);
	if (!err) {
		err = open_libbpf(open, legacy, o);
		if (err && !legacy->foreign)
			lbpf_opencause(legacy->bytes ? legacy->bytes : open->bytes,
				       legacy->bytes ? legacy->size : open->len, lbpf_log_text(*log), legacy->cause,
				       sizeof(legacy->cause));
	}
	free(legacy->bytes);
	legacy->bytes = NULL;
	lbpf_log_end(*log);
	return err;
}

/* Handles of per-CPU maps need the number of CPUs. Returns 0, or the number of values that were pushed for a
 * failure. */
static int check_cpus(lua_State *L, const struct open *open, const struct lbpf_object *o)
{
	const struct bpf_map *map;
	bool any = false;
	int n;

	bpf_object__for_each_map(map, o->obj)
	{
		any |= (lbpf_mapkind_of((uint32_t)bpf_map__type(map))->can & LBPF_PERCPU) != 0;
	}
	n = any ? lbpf_possible_cpus(L) : 0;
	return n < 0 ? lbpf_possible_cpus_fail(L, n, lua_pushfstring(L, "open '%s'", open->label)) : 0;
}

/* Fills in the handle, which is the argument. */
static int fill_opened(lua_State *L)
{
	lbpf_object_fill(L, 1, lua_touserdata(L, 1));
	return 0;
}

/* Creates the handles of the contents of the opened object at idx. Damaged BTF raises in there. That becomes a failure,
 * because the contents of a file are no misuse. Returns 0, or the number of values that were pushed: nil, message and
 * code. */
static int open_fill(lua_State *L, int idx, const struct open *open)
{
	int status = check_cpus(L, open, lua_touserdata(L, idx));

	if (status) {
		lbpf_object_release(L, idx, lua_touserdata(L, idx));
		return status;
	}
	lua_pushcfunction(L, fill_opened);
	lua_pushvalue(L, idx);
	status = lua_pcall(L, 1, 0, 0);
	if (status == LUA_OK)
		return 0;
	if (status != LUA_ERRRUN || lua_type(L, -1) != LUA_TSTRING)
		lua_error(L);
	lbpf_object_release(L, idx, lua_touserdata(L, idx));
	return open_fail(L, open, LIBBPF_ERRNO__FORMAT, lbpf_unplaced(L, -1));
}

/* Pushes the opened object, from the arguments at 1 and 2; or nil, message and code. Returns how many values were
 * pushed. */
static int push_opened(lua_State *L, const char *what)
{
	struct lbpf_legacy legacy;
	struct open open = { 0 };
	struct lbpf_object *o;
	struct lbpf_log *log;
	int err, idx;

	open_read(L, &open, what);
	if (open.token_path && *open.token_path && !lbpf_newer_token_fd)
		return open_fail(L, &open, ENOSYS,
				 lua_pushfstring(L, "option 'token_path' needs libbpf 1.5, here is %s",
						 libbpf_version_string()));
	o = lbpf_object_new(L);
	idx = lua_gettop(L);
	o->pin_any_type = open.pin_any_type;
	if (!open.path)
		snprintf(o->name, sizeof(o->name), "%s", open.label);
	lua_pushstring(L, open.btf);
	lua_setiuservalue(L, idx, LBPF_OBJECT_CORE_BTF);
	lua_pushstring(L, open.token_path ? open.token_path : getenv("LIBBPF_BPF_TOKEN_PATH"));
	lua_setiuservalue(L, idx, LBPF_OBJECT_TOKEN);
	err = open_call(L, &open, o, &legacy, &log);
	if (err) {
		err = open_fail(L, &open, err, *legacy.cause ? legacy.cause : lbpf_log_push_last(L, log));
		lbpf_log_deliver(L, log);
		return err;
	}
	lbpf_log_deliver(L, log);
	err = open_fill(L, idx, &open);
	if (err)
		return err;
	lbpf_configure(L, idx, what);
	return 1;
}

/*** Opens a compiled BPF object, and returns it with its maps, programs and variables. The kernel gets nothing before
object:load. Maps may also be declared as before libbpf 1.0, by a struct of numbers in section "maps".
@function bpf.open
@tparam string|table source path of the ELF file, or `{ bytes = "…" }`
@tparam ?table options
- name: the name of the object, by default that of the file; for bytes, the file and line of the script
- vars: `{ name = value }`, initial values of global variables
- maps: `{ name = … }`, where … is max_entries, or a table of settings as for bpf.map.configure (`{ value_size = 1016,
  map_flags = "no_prealloc" }`), or an existing map to use in its place, or false to create none. No program that is
  loaded may use a map that is not created
- autoload: `{ program = false }`, which programs not to load
- pin_root: the directory of a bpffs for maps that are declared as pinned by name; a map that is pinned there is used if
  its parameters and its C types are the declared ones
- pin_any_type: true also uses a pinned map if its keys or values have the right size and another C type
- kconfig: text of additional kernel configuration for extern variables
- btf: path of a kernel BTF for CO-RE, in place of the running kernel's; a regular file
- token_path: where a bpffs is mounted that delegates loading to this user namespace (libbpf 1.5, kernel 6.9), or "" for
  no token. The default is the environment variable LIBBPF_BPF_TOKEN_PATH, and without it the token of /sys/fs/bpf, if
  that has one
@treturn bpf.object the object
@treturn nil,string,string on failure: ENOENT, EISDIR, EINVAL (no regular file), EFBIG (1 GiB or more),
 LIBBPF_ERRNO__FORMAT (no BPF object, a damaged one, or a malformed old map), LIBBPF_ERRNO__ENDIAN, …
@usage
local obj <close> = assert(bpf.open("build/progs/events.bpf.o", {
  vars = { first = 100 }, maps = { events = 1 << 20 },
}))
assert(obj:load())
@see bpf_object__open_file, bpf_object__open_mem */
static int object_open(lua_State *L)
{
	return push_opened(L, "bpf.open");
}

/*** Opens a compiled BPF object and loads it into the kernel. It does not attach the programs.
@function bpf.load
@tparam string|table source as for bpf.open
@tparam ?table options as for bpf.open
@treturn bpf.object the loaded object
@treturn nil,string,string,?string on failure, as from bpf.open and object:load
@usage
local obj <close> = assert(bpf.load("build/progs/events.bpf.o", { vars = { first = 100 } }))
print(obj.vars.first) -- 100
*/
static int object_open_load(lua_State *L)
{
	int n = push_opened(L, "bpf.load"), idx = lua_gettop(L);
	struct lbpf_object *o;

	if (n != 1)
		return n;
	o = lua_touserdata(L, idx);
	n = lbpf_load(L, idx, o);
	return n ? n : 1;
}

void lbpf_open_open(lua_State *L)
{
	lua_pushcfunction(L, object_open);
	lua_setfield(L, -2, "open");
	lua_pushcfunction(L, object_open_load);
	lua_setfield(L, -2, "load");
}
