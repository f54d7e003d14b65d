/* SPDX-License-Identifier: MIT */
/* Attaching programs by their section, and by the methods for which a script names the place. Each way is a row of a
 * table: the method's name, the function that reads its arguments, its options, and the function that attaches. The
 * tables are in attachtrace.c, attachiter.c, attachuser.c, attachnet.c and attachtc.c. */
#define _GNU_SOURCE
#include "program/attach.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>

#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <lauxlib.h>

#include "base/arg.h"
#include "base/cause.h"
#include "base/class.h"
#include "base/err.h"
#include "base/log.h"
#include "base/spare.h"
#include "map/map.h"
#include "program/link.h"
#include "program/program.h"

int lbpf_attach_done(struct lbpf_link *link, struct bpf_link *made)
{
	link->link = made;
	return made ? 0 : errno;
}

/* ---- arguments that several rows have ---- */

int lbpf_attach_read_nothing(lua_State *L, struct lbpf_target *to)
{
	(void)L;
	(void)to;
	return 0;
}

int lbpf_attach_read_name(lua_State *L, struct lbpf_target *to)
{
	to->name = lbpf_arg_string(L, 2);
	return 0;
}

/* Pushes memory for a list with an element for each element of the table at idx, and returns the memory. */
static void *list_memory(lua_State *L, int idx, struct lbpf_list *list)
{
	list->count = lua_rawlen(L, idx);
	luaL_argcheck(L, list->count > 0 && list->count < 1 << 20, idx, "a list of 1 to 1048575 elements expected");
	luaL_checkstack(L, 4, NULL);
	return lua_newuserdatauv(L, list->count * sizeof(uint64_t), 0);
}

/* The table keeps the strings. It is replaced by a copy that the script can't change. */
struct lbpf_list lbpf_attach_names(lua_State *L, int idx)
{
	struct lbpf_list list;

	lbpf_arg_own(L, idx);
	list.names = list_memory(L, idx, &list);
	for (size_t i = 0; i < list.count; i++) {
		if (lua_rawgeti(L, idx, (lua_Integer)i + 1) != LUA_TSTRING)
			luaL_error(L, "a list of names expected, element %I is a %s", (LUAI_UACINT)i + 1,
				   luaL_typename(L, -1));
		if (!lbpf_arg_is_text(L, -1))
			luaL_error(L, "a list of names expected, element %I has a NUL byte in it", (LUAI_UACINT)i + 1);
		list.names[i] = lua_tostring(L, -1);
		lua_pop(L, 1);
	}
	return list;
}

struct lbpf_list lbpf_attach_numbers(lua_State *L, int idx)
{
	struct lbpf_list list;

	list.numbers = list_memory(L, idx, &list);
	for (size_t i = 0; i < list.count; i++) {
		int is_int;

		lua_rawgeti(L, idx, (lua_Integer)i + 1);
		list.numbers[i] = (uint64_t)lua_tointegerx(L, -1, &is_int);
		if (!is_int || lua_type(L, -1) != LUA_TNUMBER)
			luaL_error(L, "a list of integers expected, element %I is a %s", (LUAI_UACINT)i + 1,
				   luaL_typename(L, -1));
		lua_pop(L, 1);
	}
	return list;
}

int lbpf_attach_symbols(lua_State *L, struct lbpf_target *to, int idx, int options)
{
	if (lua_istable(L, idx)) {
		bool names = lua_rawgeti(L, idx, 1) == LUA_TSTRING;

		lua_pop(L, 1);
		if (names)
			to->syms = lbpf_attach_names(L, idx);
		else
			to->addrs = lbpf_attach_numbers(L, idx);
	} else {
		to->name = lbpf_arg_string(L, idx);
	}
	if (lua_istable(L, options) && lua_getfield(L, options, "cookies") != LUA_TNIL) {
		to->cookies = lbpf_attach_numbers(L, lua_gettop(L));
		if (to->cookies.count != to->syms.count + to->addrs.count)
			luaL_error(L, "option 'cookies' must have one for each of the functions listed");
	}
	return 0;
}

int lbpf_attach_interface(lua_State *L, struct lbpf_target *to)
{
	uint32_t number;
	int err;

	if (lua_type(L, 2) == LUA_TNUMBER) {
		to->ifindex = (int)lbpf_arg_int(L, 2, 1, INT32_MAX);
		return 0;
	}
	to->name = lbpf_arg_string(L, 2);
	err = lbpf_arg_interface(L, to->name, &number);
	to->ifindex = (int)number;
	return err;
}

static const struct lbpf_name mprog_flags[] = {
	{ "replace", 1 << 2 }, { "before", 1 << 3 }, { "after", 1 << 4 },
	{ "id", 1 << 5 },      { "link", 1 << 13 },  { NULL, 0 },
};

const struct lbpf_option lbpf_mprog_options[] = {
	{ "flags", LBPF_OPT_OTHER, 0 },	      LBPF_TARGET_OPT(U32, relative_fd),
	LBPF_TARGET_OPT(U32, relative_id),    LBPF_TARGET_OPT(U64, expected_revision),
	LBPF_TARGET_OPT(STRING, attach_type), { NULL, LBPF_OPT_OTHER, 0 },
};

void lbpf_attach_read_mprog(lua_State *L, struct lbpf_target *to)
{
	if (lua_istable(L, 3)) {
		lua_getfield(L, 3, "flags");
		to->flags = (uint32_t)lbpf_arg_flags(L, lua_gettop(L), mprog_flags, NULL);
		lua_pop(L, 1);
	}
	if (to->attach_type)
		to->type = (int)lbpf_program_attach_type(L, to->attach_type);
}

struct lbpf_mprog_opts lbpf_attach_mprog(const struct lbpf_target *to)
{
	struct lbpf_mprog_opts opts;

	memset(&opts, 0, sizeof(opts));
	opts.sz = sizeof(opts);
	opts.flags = to->flags;
	opts.relative_fd = to->relative_fd;
	opts.relative_id = to->relative_id;
	opts.expected_revision = to->expected_revision;
	return opts;
}

/* ---- by section ---- */

static int attach_section(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	int err = lbpf_attach_user_section(link, p);

	(void)to;
	return err < 0 ? lbpf_attach_done(link, bpf_program__attach(p->prog)) : err;
}

/*** Attaches the program to the place that its section names, and returns the link.
@function prog:attach
@treturn bpf.link the link, which belongs to the object and is closed with it
@treturn nil,string,string on failure: EOPNOTSUPP if the section names no place
@usage
local link = assert(obj.progs.count:attach()) -- SEC("raw_tp/sys_enter")
link:close()
@see bpf_program__attach */
static const struct lbpf_way by_section = {
	.method = "attach",
	.read = lbpf_attach_read_nothing,
	.attach = attach_section,
	.cause = lbpf_attachcause_section,
};

/* ---- the call ---- */

/* Descriptors that attaching may open at a time: a perf event, its link, and those that libbpf opens to probe the
 * kernel. libbpf remembers the results of probing for the whole process, so they must not fail for want of
 * descriptors. */
#define DESCRIPTORS 6

/* Pushes why libbpf found no tracepoint, or could attach a probe only through tracefs; or returns NULL. */
static const char *push_missing(lua_State *L, const struct lbpf_program *p, const struct lbpf_way *way,
				const struct lbpf_target *to, struct lbpf_log *log)
{
	bool named = to->category != NULL; /* only attach_tracepoint has a category */
	const char *section = bpf_program__section_name(p->prog), *place = strchr(section, '/');

	/* probes, if the kernel has no perf events for them. */
	if (strstr(lbpf_log_text(log), "legacy"))
		return lbpf_no_tracefs();
	if (!named && (way != &by_section || bpf_program__type(p->prog) != BPF_PROG_TYPE_TRACEPOINT))
		return NULL;
	if (lbpf_no_tracefs())
		return lbpf_no_tracefs();
	if (named)
		return lua_pushfstring(L, "there is no tracepoint %s/%s", to->category, to->name);
	return lua_pushfstring(L, "there is no tracepoint %s", place ? place + 1 : section);
}

/* Pushes nil, message and code. The cause is libbpf's message, or what the kernel's errno means. */
static void push_failure(lua_State *L, const struct lbpf_program *p, int err, const struct lbpf_way *way,
			 const struct lbpf_target *to, struct lbpf_log *log)
{
	const char *missing = way->cause ? way->cause(L, p, to, err) : NULL;

	if (!missing && err == ENOENT && p->prog)
		missing = push_missing(L, p, way, to, log);

	if (missing) {
		lbpf_err_push(L, err, missing, "program '%s': %s", p->name, way->method);
		return;
	}
	if (err <= LBPF_ATTACH_NEEDS(0))
		lbpf_err_push(L, ENOSYS,
			      lua_pushfstring(L, "one of the options needs libbpf 1.%d, here is %s",
					      LBPF_ATTACH_NEEDS(0) - err, libbpf_version_string()),
			      "program '%s': %s", p->name, way->method);
	else
		lbpf_program_fail(L, p, err, way->method, log);
}

/* Pushes the link, or nil, message and code. Returns 0 or the errno. */
static int attach_by(lua_State *L, const struct lbpf_program *p, int owner, const struct lbpf_way *way,
		     const struct lbpf_target *to)
{
	int err = lbpf_spare(L, DESCRIPTORS);
	struct lbpf_link *link = lbpf_link_push(L, owner, way->method, p->name);
	struct lbpf_log *log;
	bool nowhere;

	lbpf_program_recheck(L, p);
	link->btf = p->alone ? NULL : p->btf;
	log = lbpf_log_begin(L);
	if (!err && p->prog && !to->attach_type)
		err = way->attach(link, p, to);
	else if (!err)
		err = way->opened ? way->opened(link, p, to) : EOPNOTSUPP;
	lbpf_log_end(log);
	/* if libbpf printed nothing, it has tried nothing: the section names no place to attach to */
	nowhere = err == EOPNOTSUPP && way == &by_section && !*lbpf_log_text(log);
	if (err) {
		lbpf_link_close(L, -1);
		lbpf_link_drop(L, -1);
		lua_pop(L, 1);
		push_failure(L, p, err, way, to, log);
	}
	lbpf_log_deliver(L, log);
	return nowhere ? LBPF_ATTACH_NOWHERE : err;
}

int lbpf_attach_auto(lua_State *L, int prog_idx, int owner)
{
	static const struct lbpf_target nowhere;

	return attach_by(L, lbpf_program_check(L, prog_idx), owner, &by_section, &nowhere);
}

/* Returns whether this way is for programs of this type. If not, pushes nil, message and code. */
static bool check_type(lua_State *L, const struct lbpf_program *p, const struct lbpf_way *way)
{
	uint32_t type = p->prog ? (uint32_t)bpf_program__type(p->prog) : p->type;
	const char *name = lbpf_program_type_name(type);
	luaL_Buffer b;

	if (!way->types || (way->types >> (type & 63) & 1))
		return true;
	luaL_buffinit(L, &b);
	for (uint32_t i = 0; i < 64; i++)
		if (way->types >> i & 1)
			lbpf_list_add(&b, lbpf_program_type_name(i) ? lbpf_program_type_name(i) : "newer ones");
	luaL_pushresult(&b);
	lua_pushfstring(L, "its type is %s, and this method takes %s", name ? name : "other", lua_tostring(L, -1));
	lbpf_err_push(L, EINVAL, lua_tostring(L, -1), "program '%s': %s", p->name, way->method);
	return false;
}

static int program_attach(lua_State *L)
{
	const struct lbpf_way *way = lua_touserdata(L, lua_upvalueindex(1));
	struct lbpf_program *p = lbpf_program_check_loaded(L, 1);
	struct lbpf_target to = { .fd = -1, .pid = -1, .type = -1 };
	int err;

	if (!p->prog && !way->opened)
		luaL_error(L, "%s: program '%s' was opened by pin or id, and %s", way->method, p->name,
			   way == &by_section ? "has no section that says where: name the place, as prog:attach_xdp "
						"does"
					      : "libbpf does this for programs of objects only: load its object");
	lua_settop(L, way->options_at > 4 ? way->options_at : 4);
	if (way->libbpf && !way->symbol)
		return lbpf_err_push(L, ENOSYS,
				     lua_pushfstring(L, "this method needs libbpf %s; this is libbpf %s", way->libbpf,
						     libbpf_version_string()),
				     "program '%s': %s", p->name, way->method);
	if (way->options) {
		lbpf_arg_own(L, way->options_at);
		lbpf_arg_options(L, way->options_at, way->options, &to, way->method);
	}
	err = way->read(L, &to);
	if (err)
		return lbpf_err_push(L, err, lua_tostring(L, -1), "program '%s': %s", p->name, way->method);
	lbpf_program_recheck(L, p);
	if (!check_type(L, p, way))
		return 3;
	if (lua_getiuservalue(L, 1, LBPF_PROGRAM_OWNER) != LUA_TUSERDATA)
		lbpf_link_push_keeper(L);
	return attach_by(L, p, lua_gettop(L), way, &to) ? 3 : 1;
}

/*** Registers a struct_ops map of a loaded object with the kernel, for example a TCP congestion control.
@function bpf.map.attach
@tparam bpf.map m of type struct_ops
@treturn bpf.link the link, which belongs to the object and is closed with it
@treturn nil,string,string on failure: EEXIST (the name is taken), EBUSY (the map is registered already; with libbpf
 before 1.2 also if it ever was), EPERM, …
@usage not run: it registers a congestion control, which all processes can choose
local link <close> = assert(map.attach(obj.maps.cubic))
@see bpf_map__attach_struct_ops
@since kernel 5.6 */
static int map_attach(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, 0, "attach");
	struct lbpf_link *link;
	struct lbpf_log *log;
	int err;

	if (map->type != BPF_MAP_TYPE_STRUCT_OPS || !map->of)
		lbpf_map_cannot(L, map, "attach: only the struct_ops maps of an object do");
	lua_getiuservalue(L, 1, LBPF_MAP_OWNER);
	link = lbpf_link_push(L, lua_gettop(L), "attach", lbpf_map_label(map));
	if (!map->of)
		lbpf_map_unusable(L, map);
	log = lbpf_log_begin(L);
	link->link = bpf_map__attach_struct_ops(map->of);
	err = link->link ? 0 : errno;
	lbpf_log_end(log);
	if (err) {
		lbpf_link_drop(L, -1);
		err = lbpf_err_push(L, err, lbpf_log_push_last(L, log), "map '%s': attach", lbpf_map_label(map));
	}
	lbpf_log_deliver(L, log);
	return err ? err : 1;
}

static void add_methods(lua_State *L, const struct lbpf_way *way)
{
	for (; way->method; way++) {
		lua_pushlightuserdata(L, (void *)(uintptr_t)way);
		lua_pushcclosure(L, program_attach, 1);
		lua_setfield(L, -2, way->method);
	}
}

void lbpf_attach_open(lua_State *L)
{
	lua_getfield(L, -1, "map");
	lua_pushcfunction(L, map_attach);
	lua_setfield(L, -2, "attach");
	lua_pop(L, 1);
	lua_rawgetp(L, LUA_REGISTRYINDEX, &lbpf_program_class);
	lua_getfield(L, -1, "__index");
	lua_pushlightuserdata(L, (void *)(uintptr_t)&by_section);
	lua_pushcclosure(L, program_attach, 1);
	lua_setfield(L, -2, by_section.method);
	add_methods(L, lbpf_ways_trace);
	add_methods(L, lbpf_ways_iter);
	add_methods(L, lbpf_ways_user);
	add_methods(L, lbpf_ways_net);
	add_methods(L, lbpf_ways_tc);
	lua_pop(L, 2);
}
