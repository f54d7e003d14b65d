/* SPDX-License-Identifier: MIT */
/* A host whose memory runs out: `host script.lua` runs each case of a script again and again, failing its 1st, 2nd,
 * 3rd… allocation and all that follow, until the case gets by without. After each run what the case had opened must
 * be closed again. The script returns a sequence of { name, function, sparse = boolean }; it runs itself, and may set
 * up, with enough memory. Of a sparse case, the allocations that fail are ever farther apart. Prints TAP. */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#define MAX_RUNS 100000

static long countdown = -1; /* allocations that still succeed; -1: all */
static int failed;	    /* one has been refused */

static void *allocate(void *ud, void *ptr, size_t osize, size_t nsize)
{
	(void)ud;
	if (nsize == 0) {
		free(ptr);
		return NULL;
	}
	/* Lua relies on shrinking to succeed. For a new block osize is a type tag. */
	if (countdown >= 0 && (!ptr || nsize > osize)) {
		if (countdown == 0) {
			failed = 1;
			return NULL;
		}
		countdown--;
	}
	return realloc(ptr, nsize);
}

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	if (!dir) {
		perror("/proc/self/fd");
		exit(2);
	}
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* Runs the function on the top of the stack, which it leaves there. Pushes a complaint and returns 1, or returns 0. */
static int run_case(lua_State *L, bool sparse, long *runs)
{
	int before, after, status;

	lua_gc(L, LUA_GCCOLLECT);
	lua_gc(L, LUA_GCCOLLECT);
	for (*runs = 0; *runs < MAX_RUNS; *runs += 1 + (sparse ? *runs : 0)) {
		before = count_fds();
		lua_pushvalue(L, -1);
		failed = 0;
		countdown = *runs;
		status = lua_pcall(L, 0, 0, 0);
		countdown = -1;
		if (status != LUA_OK && !failed)
			return 1;
		lua_settop(L, status == LUA_OK ? -1 : -2);
		lua_gc(L, LUA_GCCOLLECT);
		lua_gc(L, LUA_GCCOLLECT);
		after = count_fds();
		if (after != before) {
			lua_pushfstring(L, "%d descriptors before, %d after allocation %d failed", before, after,
					(int)*runs + 1);
			return 1;
		}
		if (!failed)
			return 0;
	}
	lua_pushliteral(L, "does not end");
	return 1;
}

#if LUA_VERSION_NUM < 505
#define lua_newstate(allocate, data, seed) lua_newstate(allocate, data)
#endif

int main(int argc, char **argv)
{
	lua_State *L = lua_newstate(allocate, NULL, 0);
	lua_Integer n, i;
	int bad = 0;
	bool sparse;
	long runs;

	if (argc != 2 || !L) {
		fprintf(stderr, "usage: host script.lua\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	luaL_openlibs(L);
	/* The first long buffer makes the metatable for all of them; Lua doesn't survive running out of memory there.
	 */
	if (luaL_dostring(L, "local s = ('x'):rep(100000)") || luaL_dofile(L, argv[1])) {
		fprintf(stderr, "host: %s\n", lua_tostring(L, -1));
		return 1;
	}
	luaL_checktype(L, -1, LUA_TTABLE);
	n = luaL_len(L, -1);
	printf("1..%lld\n", (long long)n);
	for (i = 1; i <= n; i++) {
		lua_settop(L, 1);
		lua_geti(L, 1, i);
		lua_geti(L, 2, 1);
		lua_getfield(L, 2, "sparse");
		sparse = lua_toboolean(L, -1);
		lua_pop(L, 1);
		lua_geti(L, 2, 2);
		if (run_case(L, sparse, &runs)) {
			bad = 1;
			printf("not ok %lld - %s\n# %s\n", (long long)i, lua_tostring(L, 3),
			       luaL_tolstring(L, -1, NULL));
		} else {
			printf("ok %lld - %s (%ld allocations)\n", (long long)i, lua_tostring(L, 3), runs);
		}
	}
	lua_close(L);
	return bad;
}
