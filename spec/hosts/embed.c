/* SPDX-License-Identifier: MIT */
/* A host that calls every function of lbpf.h: `embed CASE`, or without an argument the list of cases. It has no
 * protected call around them, so an error that gets out ends it. Exits with 0 if all was as it should be. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <lauxlib.h>
#include <lualib.h>

#include "lbpf.h"

#define OBJECT_FILE "build/progs/execsnoop.bpf.o"

#define CHECK(condition)                                                                                  \
	do {                                                                                              \
		if (!(condition)) {                                                                       \
			fprintf(stderr, "%s:%d: %s (errno %d)\n", __func__, __LINE__, #condition, errno); \
			exit(1);                                                                          \
		}                                                                                         \
	} while (0)

/* ---- the state, whose memory can run out ---- */

static long countdown = -1; /* allocations that still succeed; -1: all */
static bool refused;

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
			refused = true;
			return NULL;
		}
		countdown--;
	}
	return realloc(ptr, nsize);
}

static int panic(lua_State *L)
{
	fprintf(stderr, "panic: %s\n", lua_tostring(L, -1));
	abort();
}

#if LUA_VERSION_NUM < 505
#define lua_newstate(allocate, data, seed) lua_newstate(allocate, data)
#endif

static lua_State *new_state(void)
{
	lua_State *L = lua_newstate(allocate, NULL, 0);

	CHECK(L);
	lua_atpanic(L, panic);
	luaL_openlibs(L);
	return L;
}

static lua_State *new_open(void)
{
	lua_State *L = new_state();

	CHECK(lbpf_open(L) == 0);
	lua_setglobal(L, "bpf");
	return L;
}

/* Runs a script that is given the value at the top, popped. */
static void run(lua_State *L, const char *script)
{
	if (luaL_loadstring(L, script)) {
		fprintf(stderr, "%s\n", lua_tostring(L, -1));
		exit(1);
	}
	lua_insert(L, -2);
	if (lua_pcall(L, 1, 0, 0)) {
		fprintf(stderr, "script %s\n", lua_tostring(L, -1));
		exit(1);
	}
}

/* Whether the message at the top, popped, has the words. */
static bool says(lua_State *L, const char *words)
{
	const char *message = lua_tostring(L, -1);
	bool found = message && strstr(message, words);

	if (!found)
		fprintf(stderr, "message: %s\nexpected: %s\n", message ? message : "none", words);
	lua_pop(L, 1);
	return found;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	CHECK(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int new_map(void)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_HASH, "hits", 4, 8, 8, NULL);

	CHECK(fd >= 0);
	return fd;
}

/* Its program, once attached, has nothing to do: no process runs as the user that the kernel keeps for "none". */
static struct bpf_object *new_object(bool load)
{
	struct bpf_object *obj = bpf_object__open_file(OBJECT_FILE, NULL);
	const __u32 nobody = (__u32)-1;

	CHECK(obj);
	CHECK(bpf_map__set_initial_value(bpf_object__find_map_by_name(obj, ".rodata"), &nobody, sizeof(nobody)) == 0);
	CHECK(!load || bpf_object__load(obj) == 0);
	return obj;
}

static struct bpf_program *program_of(const struct bpf_object *obj)
{
	struct bpf_program *prog = bpf_object__find_program_by_name(obj, "on_exec");

	CHECK(prog);
	return prog;
}

/* ---- opening ---- */

static void opening(void)
{
	lua_State *L = luaL_newstate();

	CHECK(lbpf_open(L) == -EINVAL && lua_gettop(L) == 1 && says(L, "luaL_openlibs"));
	CHECK(lbpf_push_map_fd(L, 0, LBPF_BORROW) == -EINVAL && says(L, "lbpf_push_map_fd: call lbpf_open first"));
	CHECK(lbpf_push_type(L, NULL, 1) == -EINVAL && says(L, "call lbpf_open first"));
	luaL_openlibs(L);
	CHECK(lbpf_open(L) == 0 && lua_gettop(L) == 1 && lua_istable(L, 1));
	CHECK(lbpf_open(L) == 0 && lua_rawequal(L, 1, 2));
	lua_pop(L, 1);
	run(L,
	    "local bpf = ...; assert(rawequal(bpf, require 'bpf') and bpf.map == require 'bpf.core'.map)\n"
	    "assert(bpf.hist.number(1000) and bpf.compile and bpf.symbols)");
	lua_close(L);
}

/* Scripts that found the module by themselves have another copy than the host that is linked with the library. */
static void another_copy(void)
{
	lua_State *L = new_state();

	lua_pushstring(L, getenv("LBPF_MODULE"));
	run(L, "package.loaded['bpf.core'] = assert(package.loadlib(..., 'luaopen_bpf_core'))()");
	CHECK(lbpf_open(L) == -EEXIST && says(L, "lbpf_open: the state has another copy of module bpf.core (EEXIST)"));
	CHECK(lua_gettop(L) == 0);
	lua_close(L);
}

static void version(void)
{
	char text[32];
	lua_State *L = new_open();

	snprintf(text, sizeof(text), "%d.%d.%d", LBPF_VERSION_MAJOR, LBPF_VERSION_MINOR, LBPF_VERSION_PATCH);
	CHECK(strcmp(text, LBPF_VERSION) == 0);
	CHECK(LBPF_VERSION_NUM == LBPF_VERSION_MAJOR * 10000 + LBPF_VERSION_MINOR * 100 + LBPF_VERSION_PATCH);
	lua_pushstring(L, text);
	run(L, "assert(bpf._VERSION == ...)");
	lua_close(L);
}

/* ---- maps ---- */

static void map_by_fd(void)
{
	int borrowed = new_map(), owned = new_map(), other = open("/dev/null", O_RDONLY);
	lua_State *L = new_open();

	CHECK(lbpf_push_map_fd(L, borrowed, LBPF_BORROW) == 0 && lbpf_map_fd(lbpf_test_map(L, -1)) == borrowed);
	run(L,
	    "local m = ...; m[('k'):rep(4)] = ('v'):rep(8); assert(#m == 1 and tostring(m):find 'hits')\n"
	    "bpf.map.close(m); assert(not pcall(bpf.map.fd, m))");
	CHECK(is_open(borrowed));
	CHECK(lbpf_push_map_fd(L, borrowed, LBPF_BORROW) == 0);
	lua_setglobal(L, "left");

	CHECK(lbpf_push_map_fd(L, owned, LBPF_OWN) == 0);
	run(L, "bpf.map.close(...)");
	CHECK(!is_open(owned));
	owned = new_map();
	CHECK(lbpf_push_map_fd(L, owned, LBPF_OWN) == 0);
	lua_setglobal(L, "owned");

	CHECK(lbpf_push_map_fd(L, other, LBPF_OWN) == -EINVAL && is_open(other));
	CHECK(says(L, "this is no map's descriptor (EINVAL)"));
	CHECK(lbpf_push_map_fd(L, 12345, LBPF_OWN) == -EBADF && says(L, "lbpf_push_map_fd 12345: "));
	CHECK(lbpf_push_map_fd(L, borrowed, 2) == -EINVAL && says(L, "LBPF_BORROW or LBPF_OWN"));
	CHECK(lua_gettop(L) == 0);
	lua_close(L);
	CHECK(is_open(borrowed) && is_open(other) && !is_open(owned));
	close(borrowed);
	close(other);
}

static void map_of_libbpf(void)
{
	struct bpf_object *obj = new_object(false);
	struct bpf_map *map = bpf_object__find_map_by_name(obj, "events");
	lua_State *L = new_open();

	CHECK(lbpf_push_map(L, map) == -ENOENT && says(L, "'events': its object is not loaded"));
	CHECK(lbpf_push_map(L, NULL) == -EINVAL && says(L, "NULL"));
	CHECK(bpf_object__load(obj) == 0);
	CHECK(lbpf_push_map(L, map) == 0 && lbpf_map_fd(lbpf_check_map(L, 1)) == bpf_map__fd(map));
	CHECK(!lbpf_map_ptr(lbpf_test_map(L, 1)));
	run(L, "assert(bpf.map.info(...).name == 'events'); bpf.map.close(...)");
	CHECK(is_open(bpf_map__fd(map)));
	lua_close(L);
	bpf_object__close(obj);
}

/* ---- objects ---- */

static void object_loaded(void)
{
	struct bpf_object *obj = new_object(true);
	lua_State *L = new_open();
	int fd = bpf_program__fd(program_of(obj));

	CHECK(lbpf_push_object(L, obj, LBPF_BORROW) == 0);
	CHECK(lbpf_object_ptr(lbpf_check_object(L, 1)) == obj);
	lua_pushvalue(L, 1);
	run(L,
	    "obj = ...; assert(obj.vars.seen == 0 and obj:name() == 'execsnoop')\n"
	    "obj.vars.seen = 7; assert(bpf.map.info(obj.maps.events).type == 'ringbuf')\n"
	    "assert(not pcall(obj.load, obj)); link = assert(obj.progs.on_exec:attach())\n"
	    "events = bpf.ringbuf(obj.maps.events, 'struct event', print); assert(events:poll(0) == 0)\n"
	    "assert(obj:btf():find 'struct event')");
	CHECK(lbpf_close(L, 1) == 0 && lbpf_close(L, 1) == 0);
	CHECK(!lbpf_object_ptr(lbpf_test_object(L, 1)));
	lua_pushnil(L);
	run(L,
	    "assert(tostring(link):find 'closed' and tostring(obj):find 'closed')\n"
	    "assert(not pcall(function() return obj.vars.seen end) and not pcall(obj.attach, obj))\n"
	    "assert(not pcall(bpf.map.fd, obj.maps.events) and not pcall(obj.progs.on_exec.attach, "
	    "obj.progs.on_exec))");
	CHECK(is_open(fd) && bpf_program__fd(program_of(obj)) == fd);

	CHECK(lbpf_push_object(L, obj, LBPF_BORROW) == 0);
	run(L, "assert((...).vars.seen == 7 and (...):close())");
	CHECK(lbpf_push_object(L, obj, LBPF_BORROW) == 0); /* for the state's end */
	CHECK(lbpf_push_object(L, NULL, LBPF_BORROW) == -EINVAL && says(L, "NULL"));
	CHECK(lbpf_push_object(L, obj, 4) == -EINVAL && says(L, "LBPF_BORROW or LBPF_OWN"));
	lua_close(L);
	CHECK(is_open(fd));
	bpf_object__close(obj);
	CHECK(!is_open(fd));
}

static void object_not_loaded(void)
{
	struct bpf_object *obj = new_object(false), *later = new_object(false);
	struct bpf_object *refuses = bpf_object__open_file("build/progs/refused.bpf.o", NULL);
	lua_State *L = new_open();

	CHECK(lbpf_push_object(L, obj, LBPF_BORROW) == 0);
	run(L,
	    "obj = ...; obj.vars.target_uid = 4711; assert(bpf.map.resize(obj.maps.events, 8192))\n"
	    "events = obj.maps.events");
	lua_getglobal(L, "events");
	CHECK(lbpf_map_fd(lbpf_check_map(L, -1)) == -ENOENT && lbpf_map_ptr(lbpf_test_map(L, -1)));
	run(L, "assert(obj:load() and #obj.progs.on_exec:info().map_ids > 0 and obj.vars.target_uid == 4711)");
	CHECK(bpf_map__max_entries(bpf_object__find_map_by_name(obj, "events")) == 8192);
	CHECK(bpf_program__fd(program_of(obj)) >= 0);

	/* the host loads it behind the handle's back */
	CHECK(lbpf_push_object(L, later, LBPF_BORROW) == 0);
	CHECK(bpf_object__load(later) == 0);
	run(L,
	    "local o = ...; assert(not pcall(bpf.map.fd, o.maps.events)); assert(o:load()); o.vars.seen = 3\n"
	    "assert(bpf.map.fd(o.maps.events) and o.vars.seen == 3 and not pcall(o.load, o))");

	/* a load that fails closes the handle, and the object stays the host's */
	CHECK(lbpf_push_object(L, refuses, LBPF_BORROW) == 0);
	run(L,
	    "local o = ...; local ok, message = o:load(); assert(not ok and message:find 'refused by the verifier')\n"
	    "assert(not pcall(o.attach, o))");
	lua_close(L);
	bpf_object__close(refuses);
	bpf_object__close(later);
	bpf_object__close(obj);
}

/* Uses other maps in place of its own, whose types have ids in another BTF: the object's declarations count. */
static void object_reusing(void)
{
	struct bpf_object *obj = bpf_object__open_file("build/progs/calls.bpf.o", NULL);
	struct bpf_map *hits = bpf_object__find_map_by_name(obj, "hits");
	struct bpf_map *bss = bpf_object__find_map_by_name(obj, "calls.bss");
	struct bpf_map *slots = bpf_object__find_map_by_name(obj, "slots");
	int without_btf = bpf_map_create(BPF_MAP_TYPE_ARRAY, "slots", 4, 8, 4, NULL);
	lua_State *L = new_open();

	CHECK(hits && bss && without_btf >= 0);
	CHECK(bpf_map__reuse_fd(slots, without_btf) == 0);
	close(without_btf);
	lua_pushinteger(L, bpf_map__value_size(bss));
	run(L,
	    "hits = assert(bpf.map.create { type = 'hash', name = 'hits', max_entries = 64,\n"
	    "  key = 'struct k { short a, b; }', value = 'struct v { char a[8]; }' })\n"
	    "bss = assert(bpf.map.create { type = 'array', name = 'calls.bss', max_entries = 1, key = '__u32',\n"
	    "  value = ('struct w { char a[%d]; }'):format(...), flags = 'mmapable' })");
	lua_getglobal(L, "hits");
	CHECK(bpf_map__reuse_fd(hits, lbpf_map_fd(lbpf_test_map(L, -1))) == 0);
	lua_getglobal(L, "bss");
	CHECK(bpf_map__reuse_fd(bss, lbpf_map_fd(lbpf_test_map(L, -1))) == 0);
	for (int loaded = 0; loaded < 2; loaded++) {
		CHECK(!loaded || bpf_object__load(obj) == 0);
		CHECK(lbpf_push_object(L, obj, LBPF_BORROW) == 0);
		run(L,
		    "local o = ...; local key, value = bpf.map.types(o.maps.hits)\n"
		    "assert(tostring(key):find '__u32' and tostring(value):find '__u64')\n"
		    "assert(tostring(select(2, bpf.map.types(o.maps.slots))):find '__u64')\n"
		    "local loaded = not tostring(o.vars):find 'not loaded'\n"
		    "assert(not loaded or o.vars.self == 0 and o.vars.after == 0)\n"
		    "o.maps.hits[7] = 1 << 40; assert(o.maps.hits[7] == 1 << 40)\n"
		    "o.maps.slots[3] = 1 << 40; assert(o.maps.slots[3] == 1 << 40)");
	}
	lua_close(L);
	bpf_object__close(obj);
}

/* libbpf creates some kinds of maps without BTF; their types are the declared ones all the same. */
static void object_kinds(void)
{
	static const char *const files[] = { "stacks", "perfs", "nested", "devmap", "cpumap" };
	lua_State *L = new_open();
	char path[64];

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		struct bpf_object *obj;
		struct bpf_program *prog;

		snprintf(path, sizeof(path), "build/progs/%s.bpf.o", files[i]);
		CHECK(obj = bpf_object__open_file(path, NULL));
		bpf_object__for_each_program(prog, obj)
		{
			bpf_program__set_autoload(prog, false);
		}
		lua_newtable(L);
		lua_setglobal(L, "declared");
		for (int loaded = 0; loaded < 2; loaded++) {
			CHECK(!loaded || bpf_object__load(obj) == 0);
			CHECK(lbpf_push_object(L, obj, LBPF_BORROW) == 0);
			run(L,
			    "for name, m in pairs((...).maps) do\n"
			    "  local key, value = bpf.map.types(m)\n"
			    "  local types = tostring(key) .. ', ' .. tostring(value)\n"
			    "  declared[name] = declared[name] or types\n"
			    "  assert(types == declared[name], name .. ': ' .. types)\n"
			    "end");
		}
		bpf_object__close(obj);
	}
	lua_close(L);
}

/* Variables of a section that no process can map are read with the rest of it. */
static void object_resized(void)
{
	struct bpf_object *obj = bpf_object__open_file("build/progs/vars.bpf.o", NULL);
	lua_State *L = new_open();

	CHECK(obj);
	CHECK(lbpf_push_object(L, obj, LBPF_BORROW) == 0);
	CHECK(bpf_map__set_value_size(bpf_object__find_map_by_name(obj, ".data.lonely"), 4096) == 0);
	run(L,
	    "local o = ...; assert(o:load()); assert(o.vars.lonely == 17 and o.vars.company == 19)\n"
	    "local t = {}; for i = 1, 1000 do o.vars.lonely = i; t[i] = { o.vars.lonely } end\n"
	    "for i = 1, 1000 do assert(t[i][1] == i) end; assert(o.vars.company == 19)");
	lua_close(L);
	bpf_object__close(obj);
}

/* Entries of a map that its host has made one of another type, with values of another length, can't be touched. */
static void object_retyped(void)
{
	struct bpf_object *obj = bpf_object__open_file("build/progs/calls.bpf.o", NULL);
	lua_State *L = new_open();

	CHECK(obj);
	CHECK(lbpf_push_object(L, obj, LBPF_BORROW) == 0);
	CHECK(bpf_map__set_type(bpf_object__find_map_by_name(obj, "hits"), BPF_MAP_TYPE_PERCPU_HASH) == 0);
	run(L,
	    "local o = ...; assert(o:load())\n"
	    "assert(not pcall(function() return o.maps.hits[1] end)); assert(not pcall(bpf.map.update, o.maps.hits, 1, "
	    "1))\n"
	    "assert(bpf.map.info(o.maps.hits).type == 'percpu_hash'); assert(o.maps.slots[0] == 0)");
	lua_close(L);
	bpf_object__close(obj);
}

static void object_owned(void)
{
	struct bpf_object *obj = new_object(true);
	int fd = bpf_program__fd(program_of(obj));
	lua_State *L = new_open();

	CHECK(lbpf_push_object(L, obj, LBPF_OWN) == 0);
	run(L, "local o = ...; assert(o:attach()); p = o.progs.on_exec; assert(p:fd())");
	CHECK(is_open(fd)); /* the program keeps it */
	lua_pushnil(L);
	run(L, "p = nil; collectgarbage(); collectgarbage()");
	CHECK(!is_open(fd));
	lua_close(L);
}

/* Whether a message gets through from one socket to the other. */
static bool passes(const int sockets[2])
{
	char c = 0;

	CHECK(send(sockets[0], "x", 1, 0) == 1);
	return recv(sockets[1], &c, 1, MSG_DONTWAIT) == 1;
}

/* A child's end detaches nothing; closing an object's handle there does. */
static void forking(void)
{
	int sockets[2], status;
	lua_State *L = new_open();
	struct bpf_object *obj;

	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets) == 0);
	obj = bpf_object__open_file("build/progs/forked.bpf.o", NULL);
	CHECK(obj && lbpf_push_object(L, obj, LBPF_OWN) == 0);
	lua_pushvalue(L, 1);
	run(L, "obj = ...; for n, p in pairs(obj.progs) do p:autoload(n == 'by_socket') end; assert(obj:load())");
	lua_pushinteger(L, sockets[1]);
	run(L, "assert(obj.progs.by_socket:attach_socket((...)))");
	CHECK(!passes(sockets));
	for (int asked = 0; asked < 2; asked++) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (pid == 0) {
			if (asked)
				CHECK(lbpf_close(L, 1) == 0);
			lua_close(L);
			exit(0);
		}
		CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
		CHECK(passes(sockets) == asked);
	}
	lua_close(L);
	close(sockets[0]);
	close(sockets[1]);
}

/* ---- programs and links ---- */

static void programs(void)
{
	struct bpf_object *obj = new_object(false);
	struct bpf_program *prog = program_of(obj);
	lua_State *L = new_open();
	int fd;

	CHECK(lbpf_push_program(L, prog) == 0 && lbpf_program_ptr(lbpf_check_program(L, 1)) == prog);
	CHECK(lbpf_program_fd(lbpf_test_program(L, 1)) == -ENOENT);
	CHECK(bpf_object__load(obj) == 0);
	fd = bpf_program__fd(prog);
	CHECK(lbpf_program_fd(lbpf_test_program(L, 1)) == fd);
	lua_pushvalue(L, 1);
	run(L,
	    "local p = ...; assert(p:name() == 'on_exec' and p:section():find 'sched' and p:info().id)\n"
	    "assert(p:attach()); collectgarbage(); collectgarbage(); kept = p\n"
	    "assert(select(3, p:attach()) == 'EEXIST')");
	CHECK(lbpf_close(L, 1) == 0 && lbpf_program_fd(lbpf_test_program(L, 1)) == -EBADF);
	CHECK(!lbpf_program_ptr(lbpf_test_program(L, 1)));
	run(L, "assert(not pcall(kept.info, kept) and tostring(kept):find 'closed')");
	CHECK(is_open(fd) && bpf_program__fd(prog) == fd);
	CHECK(lbpf_push_program(L, NULL) == -EINVAL && says(L, "NULL"));

	CHECK(lbpf_push_program_fd(L, fd, LBPF_BORROW) == 0 && lbpf_program_fd(lbpf_check_program(L, 1)) == fd);
	run(L, "local p = ...; assert(p:name() == 'on_exec' and not pcall(p.attach, p) and p:close())");
	CHECK(is_open(fd));
	fd = dup(fd);
	CHECK(lbpf_push_program_fd(L, fd, LBPF_OWN) == 0);
	run(L, "(...):close()");
	CHECK(!is_open(fd));
	fd = new_map();
	CHECK(lbpf_push_program_fd(L, fd, LBPF_OWN) == -EINVAL && says(L, "no program's descriptor") && is_open(fd));
	CHECK(lbpf_push_program_fd(L, 12345, LBPF_OWN) == -EBADF && says(L, "12345"));
	close(fd);
	lua_close(L);
	bpf_object__close(obj);
}

static void links(void)
{
	struct bpf_object *obj = new_object(true);
	struct bpf_link *link = bpf_program__attach(program_of(obj));
	lua_State *L = new_open();
	int fd = bpf_link__fd(link);

	CHECK(link && fd >= 0);
	CHECK(lbpf_push_link(L, link, LBPF_BORROW) == 0 && lbpf_link_ptr(lbpf_check_link(L, 1)) == link);
	CHECK(lbpf_link_fd(lbpf_test_link(L, 1)) == fd || lbpf_link_fd(lbpf_test_link(L, 1)) == -EOPNOTSUPP);
	lua_pushvalue(L, 1);
	run(L, "local l = ...; assert(l:close() and tostring(l):find 'closed' and not pcall(l.info, l))");
	CHECK(lbpf_link_fd(lbpf_test_link(L, 1)) == -EBADF && !lbpf_link_ptr(lbpf_test_link(L, 1)) && is_open(fd));
	CHECK(lbpf_push_link(L, link, LBPF_BORROW) == 0);
	run(L, "assert((...):disconnect())");
	CHECK(is_open(fd));
	CHECK(lbpf_push_link(L, link, LBPF_BORROW) == 0);
	lua_settop(L, 0);
	lua_gc(L, LUA_GCCOLLECT);
	CHECK(is_open(fd));

	/* owned: not at the collector's whim, but at the latest with the state */
	CHECK(lbpf_push_link(L, link, LBPF_OWN) == 0);
	lua_settop(L, 0);
	lua_gc(L, LUA_GCCOLLECT);
	lua_gc(L, LUA_GCCOLLECT);
	CHECK(is_open(fd));
	lua_close(L);
	CHECK(!is_open(fd));

	L = new_open();
	link = bpf_program__attach(program_of(obj));
	fd = bpf_link__fd(link);
	CHECK(lbpf_push_link(L, link, LBPF_OWN) == 0 && lbpf_close(L, 1) == 0 && !is_open(fd));
	CHECK(lbpf_push_link(L, NULL, LBPF_OWN) == -EINVAL && says(L, "NULL"));
	lua_close(L);
	bpf_object__close(obj);
}

/* ---- getting them back ---- */

#define CHECKER(what)                           \
	static int check_##what(lua_State *L)   \
	{                                       \
		CHECK(lbpf_check_##what(L, 1)); \
		return 0;                       \
	}

CHECKER(map)
CHECKER(object)
CHECKER(program)
CHECKER(link)

static void type_errors(void)
{
	static const struct {
		const char *name;
		lua_CFunction fn;
	} checkers[] = {
		{ "map", check_map },
		{ "object", check_object },
		{ "program", check_program },
		{ "link", check_link },
	};
	struct bpf_object *obj = new_object(true);
	lua_State *L = new_open();

	for (size_t i = 0; i < sizeof(checkers) / sizeof(*checkers); i++) {
		lua_pushcfunction(L, checkers[i].fn);
		lua_setglobal(L, checkers[i].name);
	}
	CHECK(lbpf_push_object(L, obj, LBPF_BORROW) == 0);
	run(L,
	    "local obj = ...; local prog = obj.progs.on_exec; local l = assert(prog:attach())\n"
	    "local good = { map = obj.maps.events, object = obj, program = prog, link = l }\n"
	    "local class = { map = 'bpf.map', object = 'bpf.object', program = 'bpf.prog', link = 'bpf.link' }\n"
	    "for name, handle in pairs(good) do\n"
	    "  _G[name](handle)\n"
	    "  for _, wrong in ipairs { {}, 1, 'x', io.stdout, print, good[name == 'map' and 'link' or 'map'] } do\n"
	    "    local ok, message = pcall(_G[name], wrong)\n"
	    "    assert(not ok and message:find('bad argument #1 to .-%(' .. class[name] .. ' expected, got '), "
	    "message)\n"
	    "  end\n"
	    "  assert(not pcall(_G[name]))\n"
	    "end\n"
	    "l:close(); obj:close()\n"
	    "for name, handle in pairs(good) do\n"
	    "  local ok, message = pcall(_G[name], handle)\n"
	    "  assert(not ok and message:find('bad argument #1 to .-%(' .. name .. \" '[^']+' is closed%)\"), "
	    "message)\n"
	    "end");
	lua_pushliteral(L, "text");
	lua_pushlightuserdata(L, L);
	for (int i = 1; i <= 4; i++) { /* a string, a pointer, nothing */
		CHECK(!lbpf_test_map(L, i) && !lbpf_test_object(L, i) && !lbpf_test_program(L, i));
		CHECK(!lbpf_test_link(L, i) && lbpf_close(L, i) == -EINVAL);
	}
	CHECK(lbpf_map_fd(NULL) == -EINVAL && lbpf_program_fd(NULL) == -EINVAL && lbpf_link_fd(NULL) == -EINVAL);
	CHECK(!lbpf_map_ptr(NULL) && !lbpf_object_ptr(NULL) && !lbpf_program_ptr(NULL) && !lbpf_link_ptr(NULL));
	lua_close(L);
	bpf_object__close(obj);
}

/* ---- values ---- */

struct event {
	uint32_t pid, uid;
	char comm[16];
};

static uint32_t event_type(const struct btf *btf)
{
	int id = btf__find_by_name_kind(btf, "event", BTF_KIND_STRUCT);

	CHECK(id > 0);
	return (uint32_t)id;
}

static void values(void)
{
	struct bpf_object *obj = new_object(false);
	const struct btf *btf = bpf_object__btf(obj);
	uint32_t id = event_type(btf);
	struct event e = { 1, 2, "curl" }, got[2];
	lua_State *L = new_open();

	CHECK(lbpf_push_type(L, btf, 123456) == -EINVAL && says(L, "123456"));
	CHECK(lbpf_push_type(L, NULL, id) == -EINVAL && says(L, "NULL"));
	CHECK(lbpf_push_type(L, btf, id) == 0);
	bpf_object__close(obj); /* the type has all that it needs */
	CHECK(lbpf_push_value(L, -1, &e, sizeof(e)) == 0);
	lua_pushvalue(L, 2);
	run(L, "local e = ...; assert(e.pid == 1 and e.uid == 2 and e.comm == 'curl')");
	memset(got, 0xff, sizeof(got));
	CHECK(lbpf_get_value(L, -1, -2, got, sizeof(got)) == 0 && lua_gettop(L) == 2);
	CHECK(memcmp(&e, &got[0], sizeof(e)) == 0 && got[1].pid == 0xffffffff);
	CHECK(lbpf_get_value(L, 2, 1, got, sizeof(e) - 1) == -ENOSPC && says(L, "struct event: it takes 24 bytes"));
	lua_pushinteger(L, -1);
	lua_setfield(L, 2, "pid");
	memset(got, 0xff, sizeof(got));
	CHECK(lbpf_get_value(L, 2, 1, got, sizeof(e)) == -EINVAL && says(L, "pid") && got[0].uid == 0xffffffff);
	lua_pushliteral(L, "text");
	CHECK(lbpf_get_value(L, -1, 1, got, sizeof(e)) == -EINVAL && says(L, "got string"));
	CHECK(lbpf_get_value(L, 1, -1, got, sizeof(e)) == -EINVAL && says(L, "bpf.type expected, got string"));
	CHECK(lbpf_push_value(L, 1, &e, sizeof(e) - 1) == -EINVAL && says(L, "bytes"));
	CHECK(lbpf_push_value(L, 2, &e, sizeof(e)) == -EINVAL && says(L, "bpf.type expected, got table"));
	CHECK(luaL_dostring(L, "return require 'bpf'.btf.type '__u32'") == 0);
	CHECK(lbpf_push_value(L, -1, &e.uid, sizeof(e.uid)) == 0 && lua_tointeger(L, -1) == 2);
	lua_close(L);
}

/* ---- the process ---- */

static int printed;

__attribute__((format(printf, 2, 0))) static int count_printed(enum libbpf_print_level level, const char *fmt,
							       va_list args)
{
	(void)fmt;
	(void)args;
	printed += level == LIBBPF_WARN;
	return 0;
}

static void process(void)
{
	struct rlimit before, after;
	struct sigaction actions[32], action;
	lua_State *L;

	for (int i = 1; i < 32; i++)
		CHECK(sigaction(i, NULL, &actions[i]) == 0);
	libbpf_set_print(count_printed);
	CHECK(getrlimit(RLIMIT_MEMLOCK, &before) == 0);
	CHECK(bpf_map_create(BPF_MAP_TYPE_UNSPEC, NULL, 0, 0, 0, NULL) <
	      0); /* before 5.11, libbpf raises it here, once */
	CHECK(setrlimit(RLIMIT_MEMLOCK, &before) == 0);
	L = new_open();
	lua_pushnil(L);
	run(L,
	    "assert(not bpf.open '/proc/self/absent'); assert(not bpf.open { bytes = 'no object' })\n"
	    "local m = bpf.map.create { type = 'array', key = '__u32', value = '__u32', max_entries = 1 }");
	getrlimit(RLIMIT_MEMLOCK, &after);
	CHECK(before.rlim_cur == after.rlim_cur && before.rlim_max == after.rlim_max);
	CHECK(printed == 0);
	CHECK(!bpf_object__open_file("/proc/self/absent", NULL) && printed > 0); /* the host's own call */
	for (int i = 1; i < 32; i++)
		CHECK(sigaction(i, NULL, &action) == 0 && action.sa_handler == actions[i].sa_handler);
	lua_close(L);
}

/* ---- no memory ---- */

/* What the attempts work on. */
static struct {
	struct bpf_object *obj, *unloaded;
	struct bpf_link *link;
	struct event event;
	int map, owned, prog;
} with;

static int try_open(lua_State *L)
{
	return lbpf_open(L);
}

static int try_map_borrowed(lua_State *L)
{
	return lbpf_push_map_fd(L, with.map, LBPF_BORROW);
}

static int try_map_owned(lua_State *L)
{
	return lbpf_push_map_fd(L, with.owned, LBPF_OWN);
}

static int try_map(lua_State *L)
{
	return lbpf_push_map(L, bpf_object__find_map_by_name(with.obj, "events"));
}

static int try_object(lua_State *L)
{
	return lbpf_push_object(L, with.obj, LBPF_BORROW);
}

static int try_unloaded(lua_State *L)
{
	return lbpf_push_object(L, with.unloaded, LBPF_BORROW);
}

static int try_object_owned(lua_State *L)
{
	return lbpf_push_object(L, with.unloaded, LBPF_OWN);
}

static int try_program(lua_State *L)
{
	return lbpf_push_program(L, program_of(with.obj));
}

static int try_program_fd(lua_State *L)
{
	return lbpf_push_program_fd(L, with.prog, LBPF_BORROW);
}

static int try_program_owned(lua_State *L)
{
	return lbpf_push_program_fd(L, with.owned, LBPF_OWN);
}

static int try_link(lua_State *L)
{
	return lbpf_push_link(L, with.link, LBPF_BORROW);
}

static int try_link_owned(lua_State *L)
{
	return lbpf_push_link(L, with.link, LBPF_OWN);
}

static int try_type(lua_State *L)
{
	const struct btf *btf = bpf_object__btf(with.obj);

	return lbpf_push_type(L, btf, event_type(btf));
}

/* With a type at the top. */
static int try_push_value(lua_State *L)
{
	return lbpf_push_value(L, -1, &with.event, sizeof(with.event));
}

/* With a value above the type. Pushes something, as the others do. */
static int try_get_value(lua_State *L)
{
	int err = lbpf_get_value(L, -1, -2, &with.event, sizeof(with.event));

	if (!err)
		lua_pushnil(L);
	return err;
}

static const struct attempt {
	const char *name;
	int (*fn)(lua_State *L);
	enum { NONE, MAP, PROG, OBJECT, LINK } owns;
} attempts[] = {
	{ "lbpf_open", try_open, NONE },
	{ "lbpf_push_map_fd", try_map_borrowed, NONE },
	{ "lbpf_push_map_fd, owned", try_map_owned, MAP },
	{ "lbpf_push_map", try_map, NONE },
	{ "lbpf_push_object", try_object, NONE },
	{ "lbpf_push_object, not loaded", try_unloaded, NONE },
	{ "lbpf_push_object, owned", try_object_owned, OBJECT },
	{ "lbpf_push_program", try_program, NONE },
	{ "lbpf_push_program_fd", try_program_fd, NONE },
	{ "lbpf_push_program_fd, owned", try_program_owned, PROG },
	{ "lbpf_push_link", try_link, NONE },
	{ "lbpf_push_link, owned", try_link_owned, LINK },
	{ "lbpf_push_type", try_type, NONE },
	{ "lbpf_push_value", try_push_value, NONE },
	{ "lbpf_get_value", try_get_value, NONE },
};

static void prepare(const struct attempt *a)
{
	with.owned = -1;
	if (a->owns == MAP)
		with.owned = new_map();
	else if (a->owns == PROG)
		with.owned = dup(with.prog);
	with.unloaded = new_object(false);
	with.link = NULL;
	if (a->fn == try_link || a->owns == LINK)
		CHECK(with.link = bpf_program__attach(program_of(with.obj)));
	with.event = (struct event){ 1, 2, "x" };
}

/* What the state didn't take is still the host's to close: twice would show, in libbpf or as a descriptor too few. */
static void clean_up(const struct attempt *a, bool taken)
{
	if (with.owned >= 0 && !taken)
		close(with.owned);
	if (a->owns != OBJECT || !taken)
		bpf_object__close(with.unloaded);
	if (a->owns != LINK || !taken)
		bpf_link__destroy(with.link);
}

/* One attempt in a state of its own, in which allocation number `fails` and those after it fail. Returns whether it
 * failed. */
static bool try_once(const struct attempt *a, long fails)
{
	lua_State *L = a->fn == try_open ? new_state() : new_open();
	int before, top, err;

	before = count_fds();
	prepare(a);
	if (a->fn == try_push_value || a->fn == try_get_value)
		CHECK(try_type(L) == 0);
	if (a->fn == try_get_value)
		CHECK(try_push_value(L) == 0);
	top = lua_gettop(L);
	refused = false;
	countdown = fails;
	err = a->fn(L);
	countdown = -1;
	if (refused && err)
		CHECK(err == -ENOMEM);
	else
		CHECK(err == 0);
	CHECK(lua_gettop(L) == top + 1 && (!err || lua_isstring(L, -1)));
	if (err && a->fn == try_get_value)
		CHECK(with.event.pid == 1);
	if (with.owned >= 0)
		CHECK(is_open(with.owned));
	if (err) { /* with all that is left of the attempt */
		lua_pop(L, 1);
		clean_up(a, false);
		lua_gc(L, LUA_GCCOLLECT);
		CHECK(count_fds() == before);
		CHECK(a->fn != try_open || lbpf_open(L) == 0); /* with memory again */
	}
	lua_close(L);
	if (!err)
		clean_up(a, true);
	return refused;
}

static void no_memory(void)
{
	with.obj = new_object(true);
	with.map = new_map();
	with.prog = bpf_program__fd(program_of(with.obj));
	for (size_t i = 0; i < sizeof(attempts) / sizeof(*attempts); i++) {
		int before = count_fds();
		long n = 0;

		while (try_once(&attempts[i], n))
			n++;
		CHECK(count_fds() == before);
		printf("%s: %ld allocations\n", attempts[i].name, n);
	}
	close(with.map);
	bpf_object__close(with.obj);
}

static const struct {
	const char *name;
	void (*fn)(void);
} cases[] = {
	{ "opening", opening },
	{ "another_copy", another_copy },
	{ "version", version },
	{ "map_by_fd", map_by_fd },
	{ "map_of_libbpf", map_of_libbpf },
	{ "object_loaded", object_loaded },
	{ "object_not_loaded", object_not_loaded },
	{ "object_reusing", object_reusing },
	{ "object_kinds", object_kinds },
	{ "object_resized", object_resized },
	{ "object_retyped", object_retyped },
	{ "object_owned", object_owned },
	{ "forking", forking },
	{ "programs", programs },
	{ "links", links },
	{ "type_errors", type_errors },
	{ "values", values },
	{ "process", process },
	{ "no_memory", no_memory },
};

int main(int argc, char **argv)
{
	int before = count_fds();

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		if (argc < 2) {
			puts(cases[i].name);
		} else if (strcmp(argv[1], cases[i].name) == 0) {
			cases[i].fn();
			CHECK(count_fds() == before);
			return 0;
		}
	}
	return argc < 2 ? 0 : 2;
}
