/* SPDX-License-Identifier: MIT */
/* bpf.features: what this kernel supports for this process, and why not. probe.c finds it out. */
#include "system/features.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <lauxlib.h>

#include "base/arg.h"
#include "base/cause.h"
#include "base/distance.h"
#include "base/err.h"
#include "map/kinds.h"
#include "program/kinds.h"
#include "system/probe.h"

struct origin {
	const char *since; /* the kernel that brought it */
	const char *needs; /* the capabilities that it needs; NULL: CAP_BPF */
};

#define NET "CAP_BPF or CAP_NET_ADMIN"

static const struct origin map_origins[] = {
	[BPF_MAP_TYPE_HASH] = { "3.19", NULL },
	[BPF_MAP_TYPE_ARRAY] = { "3.19", NULL },
	[BPF_MAP_TYPE_PROG_ARRAY] = { "4.2", NULL },
	[BPF_MAP_TYPE_PERF_EVENT_ARRAY] = { "4.3", NULL },
	[BPF_MAP_TYPE_PERCPU_HASH] = { "4.6", NULL },
	[BPF_MAP_TYPE_PERCPU_ARRAY] = { "4.6", NULL },
	[BPF_MAP_TYPE_STACK_TRACE] = { "4.6", NULL },
	[BPF_MAP_TYPE_CGROUP_ARRAY] = { "4.8", NULL },
	[BPF_MAP_TYPE_LRU_HASH] = { "4.10", NULL },
	[BPF_MAP_TYPE_LRU_PERCPU_HASH] = { "4.10", NULL },
	[BPF_MAP_TYPE_LPM_TRIE] = { "4.11", NULL },
	[BPF_MAP_TYPE_ARRAY_OF_MAPS] = { "4.12", NULL },
	[BPF_MAP_TYPE_HASH_OF_MAPS] = { "4.12", NULL },
	[BPF_MAP_TYPE_DEVMAP] = { "4.14", NET },
	[BPF_MAP_TYPE_SOCKMAP] = { "4.14", NET },
	[BPF_MAP_TYPE_CPUMAP] = { "4.15", NULL },
	[BPF_MAP_TYPE_XSKMAP] = { "4.18", NET },
	[BPF_MAP_TYPE_SOCKHASH] = { "4.18", NET },
	[BPF_MAP_TYPE_CGROUP_STORAGE] = { "4.19", NULL },
	[BPF_MAP_TYPE_REUSEPORT_SOCKARRAY] = { "4.19", NULL },
	[BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE] = { "4.20", NULL },
	[BPF_MAP_TYPE_QUEUE] = { "4.20", NULL },
	[BPF_MAP_TYPE_STACK] = { "4.20", NULL },
	[BPF_MAP_TYPE_SK_STORAGE] = { "5.2", NULL },
	[BPF_MAP_TYPE_DEVMAP_HASH] = { "5.4", NET },
	[BPF_MAP_TYPE_STRUCT_OPS] = { "5.6", NULL },
	[BPF_MAP_TYPE_RINGBUF] = { "5.8", NULL },
	[BPF_MAP_TYPE_INODE_STORAGE] = { "5.10", NULL },
	[BPF_MAP_TYPE_TASK_STORAGE] = { "5.11", NULL },
	[BPF_MAP_TYPE_BLOOM_FILTER] = { "5.16", NULL },
	[BPF_MAP_TYPE_USER_RINGBUF] = { "6.1", NULL },
	[LBPF_MAP_TYPE_CGRP_STORAGE] = { "6.2", NULL },
	[LBPF_MAP_TYPE_ARENA] = { "6.9", NULL },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- names ---- */

#define HELPER_NAME(name) [BPF_FUNC_##name] = #name

static const char *const helpers[] = { __BPF_FUNC_MAPPER(HELPER_NAME) };

static const char *map_name(uint32_t type)
{
	const char *name = libbpf_bpf_map_type_str((enum bpf_map_type)type);

	return name ? name : type == LBPF_MAP_TYPE_ARENA ? "arena" : NULL;
}

static const char *helper_name(uint32_t id)
{
	return id < COUNT(helpers) ? helpers[id] : NULL;
}

/* A sort of feature: map types, program types or helpers. */
struct sort {
	const char *what;
	const char *list; /* the function that returns all of them */
	const char *(*name)(uint32_t number);
};

static const struct sort map_sort = { "map type", "map_types()", map_name };
static const struct sort prog_sort = { "program type", "prog_types()", lbpf_program_type_name };
static const struct sort helper_sort = { "helper", "helpers(prog_type)", helper_name };

/* Raises an error for an unknown name, and suggests the most similar ones. */
_Noreturn static void name_unknown(lua_State *L, const struct sort *sort, const char *got)
{
	luaL_Buffer b;
	int found = 0;

	luaL_buffinit(L, &b);
	for (unsigned int near = 1; near <= 3 && !found; near++)
		for (uint32_t i = 1; sort->name(i) && found < 6; i++) {
			const char *name = sort->name(i);

			if (lbpf_distance(got, name) != near &&
			    !(near == 1 && (strstr(name, got) || strstr(got, name))))
				continue;
			luaL_addstring(&b, found++ ? ", " : "near: ");
			luaL_addstring(&b, name);
		}
	if (!found)
		lua_pushfstring(L, "bpf.features.%s has all", sort->list), luaL_addvalue(&b);
	luaL_pushresult(&b);
	luaL_error(L, "%s '%s' is unknown (%s)", sort->what, got, lua_tostring(L, -1));
	__builtin_unreachable();
}

static uint32_t arg_name(lua_State *L, int idx, const struct sort *sort)
{
	const char *name = lbpf_arg_string(L, idx);

	for (uint32_t i = 1; sort->name(i); i++)
		if (strcmp(sort->name(i), name) == 0)
			return i;
	name_unknown(L, sort, name);
}

/* ---- saying why not ---- */

/* "6.18" and "6.18.44-cloud" as a number. */
static unsigned long version(const char *release)
{
	char *end;
	unsigned long major = strtoul(release, &end, 10);

	return major << 16 | (*end == '.' ? strtoul(end + 1, NULL, 10) & 0xffff : 0);
}

static const char *push_cause(lua_State *L, const struct lbpf_verdict *verdict, struct origin origin)
{
	struct utsname name;
	const char *when;

	if (verdict->cause)
		return verdict->cause;
	if (lbpf_probe_is_refusal(verdict->err))
		return lbpf_refused(L, origin.needs ? origin.needs : "CAP_BPF");
	if (verdict->has == LBPF_UNSURE)
		return verdict->err == EOPNOTSUPP ? lua_pushfstring(L, "libbpf %s can't tell", libbpf_version_string())
						  : NULL;
	uname(&name);
	if (!origin.since)
		return lua_pushfstring(L, "this kernel, %s, has none", name.release);
	when = version(name.release) < version(origin.since) ? "they" : "perhaps it was built without, for they";
	return lua_pushfstring(L, "this kernel, %s, has none; %s came with %s", name.release, when, origin.since);
}

/* Pushes true, or false or nil with message and code. Returns how many. */
static int push_verdict(lua_State *L, const struct lbpf_verdict *verdict, struct origin origin, const char *what,
			const char *name)
{
	if (verdict->has == LBPF_YES) {
		lua_pushboolean(L, 1);
		return 1;
	}
	lbpf_err_push(L, verdict->err, push_cause(L, verdict, origin), "%s '%s'", what, name);
	if (verdict->has == LBPF_NO) {
		lua_pushboolean(L, 0);
		lua_replace(L, -4);
	}
	return 3;
}

static struct origin map_origin(uint32_t type)
{
	return type < COUNT(map_origins) ? map_origins[type] : (struct origin){ NULL, NULL };
}

static struct origin prog_origin(uint32_t type)
{
	const struct lbpf_progkind *kind = lbpf_progkind_of(type);

	return kind ? (struct origin){ kind->since, kind->needs } : (struct origin){ NULL, NULL };
}

/* Pushes a table of what is supported, and a table with the reasons for the rest. For helpers, `of` is the program
 * type. */
static int push_all(lua_State *L, const struct sort *sort,
		    struct lbpf_verdict (*try_one)(lua_State *L, uint32_t number, uint32_t of), uint32_t of)
{
	int top = lua_gettop(L);

	lua_newtable(L);
	lua_newtable(L);
	for (uint32_t i = 1; sort->name(i); i++, lua_settop(L, top + 2)) {
		struct lbpf_verdict verdict = try_one(L, i, of);
		struct origin origin = sort == &map_sort ? map_origin(i) : prog_origin(of ? of : i);

		if (push_verdict(L, &verdict, origin, sort->what, sort->name(i)) > 1) {
			lua_pushvalue(L, -2);
			lua_setfield(L, top + 2, sort->name(i));
		}
		lua_pushvalue(L, verdict.has == LBPF_YES ? -1 : -3);
		lua_setfield(L, top + 1, sort->name(i));
	}
	return 2;
}

/*** Returns whether this process can create maps of a type on this kernel. Each call tries anew.
@function bpf.features.map_type
@tparam string name the kernel's in lower case, such as "ringbuf"; an unknown name raises an error
@treturn boolean true, or false with a message and a code: EPERM (a capability may be missing), EINVAL and others (this
 kernel has no such maps)
@treturn nil,string,string if it can't be told: EOPNOTSUPP (this libbpf is too old to try), EMFILE, ENOMEM
@usage
local has, message = bpf.features.map_type("ringbuf")
if not has then print(message) end
@see libbpf_probe_bpf_map_type */
static int features_map_type(lua_State *L)
{
	uint32_t type = arg_name(L, 1, &map_sort);
	struct lbpf_verdict verdict = lbpf_probe_map(L, type, 0);

	return push_verdict(L, &verdict, map_origin(type), map_sort.what, map_name(type));
}

/*** Returns whether this process can load programs of a type on this kernel. Each call tries anew. The kernel may still
reject some programs of a type that it takes.
@function bpf.features.prog_type
@tparam string name the kernel's in lower case, such as "xdp"; an unknown name raises an error
@treturn boolean true, or false with a message and a code: EPERM (a capability may be missing), EINVAL and others (this
 kernel has no such programs)
@treturn nil,string,string if it can't be told: EOPNOTSUPP (this libbpf is too old to try), EMFILE, ENOMEM
@usage
local has, message, code = bpf.features.prog_type("lsm")
print(has, code)
@see libbpf_probe_bpf_prog_type */
static int features_prog_type(lua_State *L)
{
	uint32_t type = arg_name(L, 1, &prog_sort);
	struct lbpf_verdict verdict = lbpf_probe_prog(L, type, 0);

	return push_verdict(L, &verdict, prog_origin(type), prog_sort.what, lbpf_program_type_name(type));
}

/*** Returns whether programs of a type can call a helper. Each call tries anew.
@function bpf.features.helper
@tparam string prog_type such as "xdp"; an unknown type raises an error
@tparam string name the helper's without `bpf_`, such as "map_lookup_elem"; an unknown name raises an error
@treturn boolean true, or false with a message and a code: EPERM (a capability may be missing), EINVAL (these programs,
 or this kernel, don't have the helper)
@treturn nil,string,string if it can't be told: EOPNOTSUPP (tracing, ext, lsm and struct_ops programs, where it depends
 on what they attach to)
@usage
print(bpf.features.helper("xdp", "redirect_map")) -- true
@see bpf-helpers(7) */
static int features_helper(lua_State *L)
{
	uint32_t type = arg_name(L, 1, &prog_sort), id = arg_name(L, 2, &helper_sort);
	struct lbpf_verdict verdict = lbpf_probe_helper(L, id, type);

	return push_verdict(L, &verdict, prog_origin(type), helper_sort.what, helper_name(id));
}

/*** Returns all map types, and whether this process can create maps of them.
@function bpf.features.map_types
@treturn table `{ hash = true, xskmap = false, … }`; types for which it can't be told are absent
@treturn table for each type that isn't true, the message that bpf.features.map_type returns
@usage
local has, why = bpf.features.map_types()
for name, message in pairs(why) do
  print(name, has[name], message)
end
*/
static int features_map_types(lua_State *L)
{
	return push_all(L, &map_sort, lbpf_probe_map, 0);
}

/*** Returns all program types, and whether this process can load programs of them.
@function bpf.features.prog_types
@treturn table `{ xdp = true, lirc_mode2 = false, … }`; types for which it can't be told are absent
@treturn table for each type that isn't true, the message that bpf.features.prog_type returns
@usage
local has, why = bpf.features.prog_types()
for name, message in pairs(why) do
  print(name, has[name], message)
end
*/
static int features_prog_types(lua_State *L)
{
	return push_all(L, &prog_sort, lbpf_probe_prog, 0);
}

/*** Returns all helpers that the library knows, and whether programs of a type can call them. The call loads more than
200 programs, which takes some 10 milliseconds.
@function bpf.features.helpers
@tparam string prog_type such as "xdp"; an unknown type raises an error
@treturn table `{ map_lookup_elem = true, sysctl_get_name = false, … }`; helpers for which it can't be told are absent
@treturn table for each helper that isn't true, the message that bpf.features.helper returns
@usage
local has = bpf.features.helpers("xdp")
print(has.map_lookup_elem, has.sysctl_get_name) -- true   false
*/
static int features_helpers(lua_State *L)
{
	return push_all(L, &helper_sort, lbpf_probe_helper, arg_name(L, 1, &prog_sort));
}

/*** Returns the running kernel's release, as `uname -r` prints it.
@function bpf.features.kernel
@treturn string
@usage
print(bpf.features.kernel()) -- for example 6.12.41-amd64
@see uname(2) */
static int features_kernel(lua_State *L)
{
	struct utsname name;

	uname(&name);
	lua_pushstring(L, name.release);
	return 1;
}

/*** Returns how many CPUs this kernel can have, online or not. A per-CPU map has this many values for each key.
@function bpf.features.cpus
@treturn integer
@treturn nil,string,string if it can't be told: ENOENT (/sys is not mounted), EMFILE
@usage
local percpu <close> = assert(bpf.map.create { type = "percpu_array", max_entries = 1, key = "__u32", value = "__u64" })
assert(#percpu[0] == bpf.features.cpus())
@see libbpf_num_possible_cpus */
static int features_cpus(lua_State *L)
{
	int n = lbpf_possible_cpus(L);

	if (n < 0)
		return lbpf_possible_cpus_fail(L, n, "features.cpus");
	lua_pushinteger(L, n);
	return 1;
}

static const luaL_Reg functions[] = {
	{ "map_type", features_map_type },
	{ "prog_type", features_prog_type },
	{ "helper", features_helper },
	{ "map_types", features_map_types },
	{ "prog_types", features_prog_types },
	{ "helpers", features_helpers },
	{ "kernel", features_kernel },
	{ "cpus", features_cpus },
	{ NULL, NULL },
};

void lbpf_features_open(lua_State *L)
{
	luaL_newlib(L, functions);
	lua_setfield(L, -2, "features");
}
