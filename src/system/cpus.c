/* SPDX-License-Identifier: MIT */
/* Which CPUs there are. */
#include "system/cpus.h"

#include <errno.h>

#include "base/cause.h"
#include "base/cpuset.h"
#include "base/err.h"
#include "base/raise.h"

/* Sets field `list` of the table at the top to a sequence of CPU numbers. Returns 0 or an errno. */
static int set_list(lua_State *L, const char *list)
{
	struct lbpf_cpuset set;
	int err = lbpf_cpuset_read(&set, list);
	lua_Integer n = 0;

	if (err)
		return err;
	lua_newtable(L);
	for (uint32_t cpu = 0; cpu < LBPF_CPUSET_CPUS; cpu++) {
		if (!lbpf_cpuset_has(&set, cpu))
			continue;
		lua_pushinteger(L, cpu);
		lua_rawseti(L, -2, ++n);
	}
	lua_setfield(L, -2, list);
	return 0;
}

/*** Returns the numbers of the machine's CPUs. Possible CPUs are those that this kernel can ever have:
`bpf.features.cpus()` is their number, and a per-CPU map has a value for each. Online CPUs run programs now.
@function bpf.cpus
@treturn table `{ possible = { 0, 1, … }, online = { 0, 1, … } }`, both in ascending order
@treturn nil,string,string if it can't be told: ENOENT (/sys is not mounted), EMFILE
@usage
local cpus = bpf.cpus()
assert(#cpus.possible == bpf.features.cpus() and #cpus.online <= #cpus.possible) */
static int system_cpus(lua_State *L)
{
	int err;

	lua_createtable(L, 0, 2);
	err = set_list(L, "possible");
	if (!err)
		err = set_list(L, "online");
	if (err)
		return lbpf_err_push(L, err, err == ENOENT ? lbpf_no_sys() : NULL, "bpf.cpus");
	return 1;
}

void lbpf_cpus_open(lua_State *L)
{
	lua_pushcfunction(L, system_cpus);
	lua_setfield(L, -2, "cpus");
}
