/* SPDX-License-Identifier: MIT */
/* The maps, programs and links of every process that the kernel holds, by id.
 *
 * An iteration goes from id to id. An object that is gone before its information could be read is skipped. Between two
 * steps no descriptor is open: each is closed before any Lua function runs. */
#include "system/system.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include <lauxlib.h>

#include "base/arg.h"
#include "base/cause.h"
#include "base/err.h"
#include "map/info.h"
#include "map/map.h"
#include "program/linkinfo.h"
#include "program/program.h"

union info {
	struct bpf_map_info map;
	struct lbpf_program_info program;
	struct lbpf_link_info link;
};

struct sort {
	const char *name, *noun;
	int (*next)(uint32_t id, uint32_t *next);
	int (*open)(uint32_t id);
	int (*fetch)(int fd, union info *info); /* 0 or an errno */
	void (*push)(lua_State *L, const union info *info);
};

static int fetch_map(int fd, union info *info)
{
	uint32_t len = sizeof(info->map);

	memset(&info->map, 0, sizeof(info->map));
	return bpf_obj_get_info_by_fd(fd, &info->map, &len) ? errno : 0;
}

static void push_map(lua_State *L, const union info *info)
{
	lbpf_mapinfo_push(L, &info->map);
}

static int fetch_program(int fd, union info *info)
{
	return lbpf_program_fetch_info(fd, &info->program);
}

static void push_program(lua_State *L, const union info *info)
{
	lbpf_program_push_info(L, &info->program);
}

static int fetch_link(int fd, union info *info)
{
	return lbpf_link_fetch_info(fd, &info->link);
}

static void push_link(lua_State *L, const union info *info)
{
	lbpf_link_push_info(L, &info->link);
}

static const struct sort maps = { "map", "map", bpf_map_get_next_id, bpf_map_get_fd_by_id, fetch_map, push_map };
static const struct sort progs = { "prog",	  "program",   bpf_prog_get_next_id, bpf_prog_get_fd_by_id,
				   fetch_program, push_program };
static const struct sort links = { "link", "link", bpf_link_get_next_id, bpf_link_get_fd_by_id, fetch_link, push_link };

/* Reads the kernel's information about one object. Returns 0 or an errno. The errno is negative if the object exists
 * and the kernel can't describe it. */
static int ask(const struct sort *sort, uint32_t id, union info *info)
{
	int fd = sort->open(id), err;

	if (fd < 0)
		return errno;
	err = sort->fetch(fd, info);
	close(fd);
	return -err;
}

static const char *cause(lua_State *L, int err)
{
	return err == EPERM ? lbpf_refused(L, "CAP_SYS_ADMIN") : NULL;
}

/* The function that a generic `for` calls. Its upvalues are the sort and the last id. */
static int step(lua_State *L)
{
	const struct sort *sort = lua_touserdata(L, lua_upvalueindex(1));
	uint32_t id = (uint32_t)lua_tointeger(L, lua_upvalueindex(2));
	union info info;
	int err;

	do {
		if (sort->next(id, &id)) {
			if (errno != ENOENT)
				lbpf_err_raise(L, errno, cause(L, errno), "%ss", sort->name);
			lua_pushnil(L);
			return 1;
		}
		err = ask(sort, id, &info);
		/* ENOENT: the object is gone. EAGAIN: the link isn't completely created yet. */
	} while (err == ENOENT || err == EAGAIN);
	if (err < 0 && sort == &links) {
		/* The code of the link's type in the kernel failed. The iteration continues, with a link of which only
		 * the id is known. */
		memset(&info, 0, sizeof(info));
		info.link.kernel.id = id;
	} else if (err) {
		err = abs(err);
		lbpf_err_raise(L, err, cause(L, err), "%ss: %s %I", sort->name, sort->noun, (LUAI_UACINT)id);
	}
	lua_pushinteger(L, id);
	lua_replace(L, lua_upvalueindex(2));
	sort->push(L, &info);
	return 1;
}

static int walk(lua_State *L, const struct sort *sort)
{
	uint32_t first;

	if (sort->next(0, &first) && errno != ENOENT)
		return lbpf_err_push(L, errno, cause(L, errno), "%ss", sort->name);
	lua_pushlightuserdata(L, (void *)(uintptr_t)sort);
	lua_pushinteger(L, 0);
	lua_pushcclosure(L, step, 2);
	return 1;
}

static int one(lua_State *L, const struct sort *sort)
{
	uint32_t id = (uint32_t)lbpf_arg_int(L, 1, 0, UINT32_MAX);
	union info info;
	int err = abs(ask(sort, id, &info));

	if (err)
		return lbpf_err_push(L, err,
				     err == ENOENT ? lua_pushfstring(L, "no such %s", sort->noun) : cause(L, err),
				     "%s_info %I", sort->name, (LUAI_UACINT)id);
	sort->push(L, &info);
	return 1;
}

/*** Iterates over all maps that the kernel holds, of all processes: `for info in assert(bpf.maps()) do`.
@function bpf.maps
@treturn function iterator over tables as bpf.map.info returns them, by rising id. Maps that are created
 or freed during the loop may be missing. `bpf.map.by_id(info.id)` opens one
@treturn nil,string,string on failure: EPERM (no CAP_SYS_ADMIN)
@usage
for info in assert(bpf.maps()) do
  print(info.id, info.type, info.name, info.max_entries)
end
@see bpf_map_get_next_id
@since kernel 4.13 */
static int system_maps(lua_State *L)
{
	return walk(L, &maps);
}

/*** Iterates over all programs that the kernel holds, of all processes: `for info in assert(bpf.progs()) do`.
@function bpf.progs
@treturn function iterator over tables as prog:info returns them, by rising id. Programs that are loaded or freed during
 the loop may be missing. `bpf.prog.by_id(info.id)` opens one
@treturn nil,string,string on failure: EPERM (no CAP_SYS_ADMIN)
@usage
for info in assert(bpf.progs()) do
  print(info.id, info.type, info.name, info.tag)
end
@see bpf_prog_get_next_id
@since kernel 4.13 */
static int system_progs(lua_State *L)
{
	return walk(L, &progs);
}

/*** Iterates over all links that the kernel holds, of all processes: `for info in assert(bpf.links()) do`.
@function bpf.links
@treturn function iterator over tables as bpf.link_info returns them, by rising id. Links that are made or freed during
 the loop may be missing. If the kernel fails to describe a link, the table has its id, and "other" for its type
@treturn nil,string,string on failure: EPERM (no CAP_SYS_ADMIN)
@usage
for info in assert(bpf.links()) do
  print(info.id, info.type, info.prog_id)
end
@see bpf_link_get_next_id
@since kernel 5.8 */
static int system_links(lua_State *L)
{
	return walk(L, &links);
}

/*** Returns what the kernel knows about a map, by the map's id. No handle of the map stays open.
@function bpf.map_info
@tparam integer id
@treturn table as bpf.map.info returns it
@treturn nil,string,string on failure: ENOENT (no such map), EPERM (no CAP_SYS_ADMIN)
@usage
local m <close> = assert(bpf.map.create { type = "array", name = "hits", max_entries = 8, value = "__u64" })
print(bpf.map_info(bpf.map.info(m).id).name) -- hits
@see bpf_map_get_fd_by_id */
static int system_map_info(lua_State *L)
{
	return one(L, &maps);
}

/*** Returns what the kernel knows about a program, by the program's id. No handle of the program stays open.
@function bpf.prog_info
@tparam integer id
@treturn table as prog:info returns it
@treturn nil,string,string on failure: ENOENT (no such program), EPERM (no CAP_SYS_ADMIN)
@usage
for link in assert(bpf.links()) do
  local program = bpf.prog_info(link.prog_id) -- nil if it was freed meanwhile
  print(link.type, program and program.name)
end
@see bpf_prog_get_fd_by_id */
static int system_prog_info(lua_State *L)
{
	return one(L, &progs);
}

/*** Returns what the kernel knows about a link, by the link's id. No handle of the link stays open.
@function bpf.link_info
@tparam integer id
@treturn table with id, type, prog_id and the fields of struct bpf_link_info for the type (see
 [What the kernel holds](#what-the-kernel-holds)). If the type has no name, type is "other" and type_number is its
 number
@treturn nil,string,string on failure: ENOENT (no such link), EPERM (no CAP_SYS_ADMIN)
@usage
local info, message = bpf.link_info(1)
print(info and info.type or message) -- link_info 1: no such link (ENOENT)
@see bpf_link_get_fd_by_id */
static int system_link_info(lua_State *L)
{
	return one(L, &links);
}

static const luaL_Reg functions[] = {
	{ "maps", system_maps },
	{ "progs", system_progs },
	{ "links", system_links },
	{ "map_info", system_map_info },
	{ "prog_info", system_prog_info },
	{ "link_info", system_link_info },
	{ NULL, NULL },
};

void lbpf_system_open(lua_State *L)
{
	luaL_setfuncs(L, functions, 0);
}
