/* SPDX-License-Identifier: MIT */
/* Which program or map the kernel refused when a load failed. libbpf returns only an errno; its messages tell what it
 * is about. */
#define _GNU_SOURCE
#include "object/loadcause.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "base/cause.h"
#include "base/newer.h"
#include "base/printed.h"
#include "map/map.h"
#include "program/program.h"

/* ---- programs ---- */

/* Finds the program by libbpf's message, which begins with "prog '<name>': BPF program load failed". */
static void find_program(struct lbpf_loadcause *found, const struct lbpf_object *o, const char *text)
{
	const char *end = strstr(text, "': BPF program load failed"), *begin = end, *type;
	struct bpf_program *prog;

	while (begin && begin > text && begin[-1] != '\'')
		begin--;
	found->prog.at = end ? (size_t)(end - text) : strlen(text);
	if (!end || (size_t)(end - begin) >= sizeof(found->prog.name))
		return;
	memcpy(found->prog.name, begin, (size_t)(end - begin));
	for (prog = bpf_object__next_program(o->obj, NULL); prog; prog = bpf_object__next_program(o->obj, prog))
		if (strcmp(bpf_program__name(prog), found->prog.name) == 0)
			break;
	found->prog.type = prog ? bpf_program__type(prog) : BPF_PROG_TYPE_UNSPEC;
	type = lbpf_program_type_name(found->prog.type);
	/* the section contains the target, on which it may depend whether the kernel accepts the program */
	snprintf(found->prog.kind, sizeof(found->prog.kind), "type %s, section '%s'", type ? type : "unknown",
		 prog ? bpf_program__section_name(prog) : "");
}

/* Pushes the verifier's log from libbpf's messages, or an empty string. */
static const char *push_verifier_log(lua_State *L, const char *text)
{
	static const char begin_mark[] = "-- BEGIN PROG LOAD LOG --\n", end_mark[] = "-- END PROG LOAD LOG --";
	const char *begin = strstr(text, begin_mark), *end;

	begin = begin ? begin + sizeof(begin_mark) - 1 : "";
	end = strstr(begin, end_mark);
	return lua_pushlstring(L, begin, end ? (size_t)(end - begin) : 0);
}

/* ---- maps ---- */

/* The parameters that the kernel gets for a map of an object, or for the template of its inner maps. */
static struct lbpf_mapcause given_for(const struct bpf_map *map)
{
	return (struct lbpf_mapcause){ .kind = lbpf_mapkind_of((uint32_t)bpf_map__type(map)),
				       .name = "",
				       .key_size = bpf_map__key_size(map),
				       .value_size = bpf_map__value_size(map),
				       .max_entries = bpf_map__max_entries(map),
				       .flags = bpf_map__map_flags(map),
				       .numa_node = bpf_map__numa_node(map),
				       .ifindex = bpf_map__ifindex(map),
				       .extra = bpf_map__map_extra(map) };
}

/* Whether this is the map's name, or the part of it that the kernel keeps. */
static bool is_named(const struct lbpf_map *map, const char *name)
{
	return strcmp(map->name, name) == 0 ||
		(strlen(name) == BPF_OBJ_NAME_LEN - 1 && strncmp(map->name, name, BPF_OBJ_NAME_LEN - 1) == 0);
}

/* Fills in the parameters of the map with this name. Returns whether there is such a map. */
static bool find_named(lua_State *L, int idx, const char *name, bool is_inner, struct lbpf_loadcause *found)
{
	const struct lbpf_map *map = NULL;
	struct bpf_map *of;
	int top = lua_gettop(L);

	lua_getiuservalue(L, idx, LBPF_OBJECT_MAP_LIST);
	for (lua_Integer i = 1; lua_rawgeti(L, top + 1, i) == LUA_TUSERDATA; i++, lua_pop(L, 1)) {
		map = lua_touserdata(L, -1);
		if (map->of && is_named(map, name))
			break;
		map = NULL;
	}
	lua_settop(L, top); /* the object's list keeps it alive */
	of = !map ? NULL : is_inner ? bpf_map__inner_map(map->of) : map->of;
	if (!of)
		return false;
	found->map.is_inner = is_inner;
	found->map.given = given_for(of);
	if (!is_inner) {
		found->map.given.inner = map->inner ? lbpf_mapkind_of(map->inner) : NULL;
		found->map.given.owned = map->value && map->value->owned;
		found->map.given.typed = map->key && map->key->node[0].kind != LBPF_RAW && map->value &&
			map->value->node[0].kind != LBPF_RAW;
	}
	snprintf(found->map.name, sizeof(found->map.name), "%s", map->name);
	return true;
}

/* Finds the map that could not be created. libbpf prints no more than that, unless something else failed, such as
 * pinning it. */
static void find_map(lua_State *L, int idx, const char *text, struct lbpf_loadcause *found)
{
	size_t len;
	const char *line = lbpf_printed_cause(text, &len);
	char name[64];
	int end = 0;

	if (!line)
		return;
	if (sscanf(line, "map '%63[^']': failed to create: %n", name, &end) == 1 && end)
		find_named(L, idx, name, false, found);
	else if (sscanf(line, "map '%63[^']': failed to create inner map: %n", name, &end) == 1 && end)
		find_named(L, idx, name, true, found);
}

/* Whether a line of libbpf's messages contains the errno: as a number or, since 1.6, by name. More lines follow it. */
static bool is_line_of(const char *line, const char *number, const char *name)
{
	size_t len = strcspn(line, "\n");

	return memmem(line, len, number, strlen(number)) || memmem(line, len, name, strlen(name));
}

/* Finds the map whose BTF the kernel refused because of members of its values that belong to the kernel. libbpf then
 * creates the map without BTF, and the verifier refuses the first program that uses such a member. */
static void find_untyped(lua_State *L, int idx, const char *text, struct lbpf_loadcause *found)
{
	static const char mark[] = "' has to have BTF in order to use ";
	const char *complaint = strstr(text + found->prog.at, mark), *begin = complaint;
	char name[64], mark_retry[128];
	const char *retry;

	while (begin && begin > text && begin[-1] != '\'')
		begin--;
	if (!complaint)
		return;
	snprintf(name, sizeof(name), "%.*s", (int)(complaint - begin), begin);
	if (!find_named(L, idx, name, false, found))
		return;
	snprintf(mark_retry, sizeof(mark_retry), "Error in bpf_create_map_xattr(%s):", found->map.name);
	retry = strstr(text, mark_retry);
	if (found->map.given.owned && retry)
		found->err = is_line_of(retry, "-524", "-ENOTSUPP") ? ENOTSUPP : EOPNOTSUPP;
	else
		*found->map.name = '\0';
}

/* ---- both ---- */

void lbpf_loadcause_find(lua_State *L, int idx, const struct lbpf_object *o, const char *text, int err,
			 struct lbpf_loadcause *found)
{
	memset(found, 0, sizeof(*found));
	found->err = err;
	found->by_token = lbpf_newer_token_fd && lbpf_newer_token_fd(o->obj) > 0;
	luaL_checkstack(L, 3, NULL);
	find_program(found, o, text);
	if (*found->prog.name)
		find_untyped(L, idx, text, found);
	else
		find_map(L, idx, text, found);
}

static const char *push_map_cause(lua_State *L, const struct lbpf_loadcause *found)
{
	const char *cause = *found->map.name ? lbpf_mapcause_push(L, &found->map.given, found->err) : NULL;

	if (!cause)
		return NULL;
	return lua_pushfstring(L, "map '%s': %s%s", found->map.name, found->map.is_inner ? "the maps in it: " : "",
			       cause);
}

const char *lbpf_loadcause_push(lua_State *L, const struct lbpf_loadcause *found, const char *text)
{
	const char *said = push_map_cause(L, found);

	if (said)
		return said;
	said = lbpf_verifier_push(L, push_verifier_log(L, text + found->prog.at), found->err);
	if (said)
		return lua_pushfstring(L, "prog '%s' %s", found->prog.name, said);
	if (*found->prog.name && (found->err == EPERM || found->err == EACCES))
		return lua_pushfstring(L, "prog '%s': %s", found->prog.name,
				       lbpf_refused_kind(L, found->prog.kind, lbpf_progkind_needs(found->prog.type)));
	return lbpf_load_cause(L, text, found->err);
}
