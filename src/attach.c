/* SPDX-License-Identifier: MIT */
/* Attaching programs: by section, and to what the script names.
 *
 * Every way is a row: the method's name, what it reads from its arguments, and the libbpf call. */
#include "attach.h"

#include <errno.h>
#include <net/if.h>

#include <bpf/libbpf.h>

#include "arg.h"
#include "class.h"
#include "err.h"
#include "link.h"
#include "map.h"
#include "program.h"

/* What the rows' arguments come to; each uses its part. */
struct target {
	const char *category, *name;
	int ifindex;
};

struct way {
	const char *method;
	void (*read)(lua_State *L, struct target *to); /* arguments from stack index 2 on; raises for wrong ones */
	struct bpf_link *(*attach)(const struct bpf_program *prog, const struct target *to);
};

static void read_nothing(lua_State *L, struct target *to)
{
	(void)L;
	(void)to;
}

/* An interface by index or name. */
static void read_interface(lua_State *L, struct target *to)
{
	if (lua_type(L, 2) == LUA_TNUMBER) {
		to->ifindex = (int)lbpf_arg_int(L, 2, 1, INT32_MAX);
		return;
	}
	to->name = luaL_checkstring(L, 2);
	to->ifindex = (int)if_nametoindex(to->name);
}

static void read_name(lua_State *L, struct target *to)
{
	to->name = luaL_checkstring(L, 2);
}

static void read_category_name(lua_State *L, struct target *to)
{
	to->category = luaL_checkstring(L, 2);
	to->name = luaL_checkstring(L, 3);
}

static struct bpf_link *attach_section(const struct bpf_program *prog, const struct target *to)
{
	(void)to;
	return bpf_program__attach(prog);
}

static struct bpf_link *attach_xdp(const struct bpf_program *prog, const struct target *to)
{
	if (!to->ifindex) {
		errno = ENODEV;
		return NULL;
	}
	return bpf_program__attach_xdp(prog, to->ifindex);
}

static struct bpf_link *attach_raw_tracepoint(const struct bpf_program *prog, const struct target *to)
{
	return bpf_program__attach_raw_tracepoint(prog, to->name);
}

static struct bpf_link *attach_tracepoint(const struct bpf_program *prog, const struct target *to)
{
	return bpf_program__attach_tracepoint(prog, to->category, to->name);
}

/*** Attaches the program where its section says.
@function prog:attach
@treturn bpf.link the link, which belongs to the object and is closed with it
@treturn nil,string,string on failure: EOPNOTSUPP when the section doesn't say where
@see bpf_program__attach */

/*** Attaches an xdp program to a network interface.
@function prog:attach_xdp
@tparam string|integer interface name or index
@treturn bpf.link the link
@treturn nil,string,string on failure: ENODEV (no such interface), EBUSY (it has a program), EPERM, …
@see bpf_program__attach_xdp
@since kernel 5.9 */

/*** Attaches a raw_tp program to a tracepoint.
@function prog:attach_raw_tracepoint
@tparam string name such as "sys_enter"
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOENT, EPERM, …
@see bpf_program__attach_raw_tracepoint */

/*** Attaches a tracepoint program.
@function prog:attach_tracepoint
@tparam string category such as "syscalls"
@tparam string name such as "sys_enter_openat"
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOENT (no such tracepoint, or no tracefs), EPERM, …
@see bpf_program__attach_tracepoint */
static const struct way ways[] = {
	{ "attach", read_nothing, attach_section },
	{ "attach_xdp", read_interface, attach_xdp },
	{ "attach_raw_tracepoint", read_name, attach_raw_tracepoint },
	{ "attach_tracepoint", read_category_name, attach_tracepoint },
};

/* Pushes the link, or nil, message and code; returns the errno. */
static int attach_by(lua_State *L, const struct lbpf_program *p, int owner, const struct way *way,
		     const struct target *to)
{
	struct lbpf_link *link = lbpf_link_push(L, owner, way->method);
	struct lbpf_log *log;
	bool nowhere;
	int err;

	lbpf_program_recheck(L, p);
	log = lbpf_log_begin(L);
	link->link = way->attach(p->prog, to);
	err = link->link ? 0 : errno;
	lbpf_log_end(log);
	/* where libbpf has nothing to say, it tried nothing: the section names no place */
	nowhere = err == EOPNOTSUPP && way->attach == attach_section && !*lbpf_log_text(log);
	if (err) {
		lbpf_link_drop(L, -1);
		lua_pop(L, 1);
		if (err == ENODEV && to->name && !to->ifindex)
			lbpf_err_push(L, err, lua_pushfstring(L, "no such network interface '%s'", to->name),
				      "program '%s': %s", p->name, way->method);
		else
			lbpf_program_fail(L, p, err, way->method, log);
	}
	lbpf_log_deliver(L, log);
	return nowhere ? LBPF_ATTACH_NOWHERE : err;
}

int lbpf_attach_auto(lua_State *L, int prog_idx, int owner)
{
	static const struct target nowhere;

	return attach_by(L, lbpf_program_check(L, prog_idx), owner, &ways[0], &nowhere);
}

static int program_attach(lua_State *L)
{
	const struct way *way = lua_touserdata(L, lua_upvalueindex(1));
	struct lbpf_program *p = lbpf_program_check_loaded(L, 1);
	struct target to = { 0 };

	way->read(L, &to);
	lua_getiuservalue(L, 1, LBPF_PROGRAM_OWNER);
	return attach_by(L, p, lua_gettop(L), way, &to) ? 3 : 1;
}

/*** Registers a struct_ops map of a loaded object with the kernel: a TCP congestion control, say.
@function bpf.map.attach
@tparam bpf.map m of type struct_ops
@treturn bpf.link the link, which belongs to the object and is closed with it
@treturn nil,string,string on failure: EEXIST (the name is taken), EBUSY (registered already, or, with libbpf before
 1.2, ever before), EPERM, …
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
	link = lbpf_link_push(L, lua_gettop(L), "attach");
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

void lbpf_attach_open(lua_State *L)
{
	lua_getfield(L, -1, "map");
	lua_pushcfunction(L, map_attach);
	lua_setfield(L, -2, "attach");
	lua_pop(L, 1);
	lua_rawgetp(L, LUA_REGISTRYINDEX, &lbpf_program_class);
	lua_getfield(L, -1, "__index");
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		lua_pushlightuserdata(L, (void *)(uintptr_t)&ways[i]);
		lua_pushcclosure(L, program_attach, 1);
		lua_setfield(L, -2, ways[i].method);
	}
	lua_pop(L, 2);
}
