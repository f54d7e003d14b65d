/* SPDX-License-Identifier: MIT */
/* A host with eight threads, each with a Lua state of its own, on the same maps and one borrowed object, while its
 * first thread uses libbpf by itself: `threads ROUNDS`. `make tsan` watches for what they share unguarded. Exits with 0
 * if all was as it should be. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <lauxlib.h>
#include <lualib.h>

#include "lbpf.h"

#define THREADS 8

static const char script[] =
	"local n, rounds, plain, memory, shared = ...\n"
	"local bpf = require 'bpf'\n"
	"local map, file = bpf.map, assert(io.open 'build/progs/refused.bpf.o')\n"
	"local refused = file:read 'a'; file:close()\n"
	"local plain, memory = map.typed(plain, '__u32', '__u64'), map.typed(memory, nil, '__u64')\n"
	"local said = {}\n"
	"bpf.log(function(line) said[#said + 1] = line end)\n"
	"for round = 1, rounds do\n"
	/* single operations and walks, on keys of its own among those of others */
	"  for i = 0, 99 do plain[n * 1000 + i] = round end\n"
	"  local own = 0\n"
	"  for k, v in pairs(plain) do\n"
	"    if k // 1000 == n then own = own + 1; assert(v == round) end\n"
	"  end\n"
	"  assert(own == 100, own)\n"
	"  for i = 0, 99 do assert(plain[n * 1000 + i] == round) end\n"
	"  assert(map.delete_batch(plain, { n * 1000, n * 1000 + 1 }) == 2 and #plain >= 98)\n"
	/* memory that all have mapped, each for itself */
	"  memory[n] = memory[n] + 1\n"
	"  assert(memory[n] == round)\n"
	/* the host's object; its variables are everybody's */
	"  assert(shared.vars.first == 0 and shared.vars.step == 1)\n"
	"  assert(shared.progs.send:info().name == 'send')\n"
	/* signals, which any thread may handle, and which the other threads send as well */
	"  do\n"
	"    local signals <close> = assert(bpf.signals 'USR1')\n"
	"    send_signal()\n"
	"    assert(not bpf.sleep(60) and signals:poll() == 'USR1')\n"
	"  end\n"
	/* objects and rings of its own */
	"  do\n"
	"    local obj <close> = assert(bpf.load('build/progs/events.bpf.o', { name = 'thread' .. n }))\n"
	"    local got = 0\n"
	"    local ring <close> = assert(bpf.ringbuf(obj.maps.events, 'struct event', function(e)\n"
	"      assert(e.seq == got); got = got + 1 end))\n"
	"    assert(obj.progs.send:run { ctx = ('=I4I4'):pack(50, 0) })\n"
	"    while got < 50 do ring:poll(100) end\n"
	"    assert(obj.vars.sent == 50)\n"
	"  end\n"
	/* failures, whose messages are its own */
	"  local obj, message, _, log = bpf.load({ bytes = refused }, { name = 'thread' .. n })\n"
	"  assert(not obj and message:find('thread' .. n, 1, true) and log:find 'processed', message)\n"
	"end\n"
	"local mine = 0\n"
	"for _, line in ipairs(said) do\n"
	"  local name = line:match \"object '(thread%d)'\"\n"
	"  assert(not name or name == 'thread' .. n, line)\n"
	"  assert(not line:find '/proc/self/absent', line)\n"
	"  mine = mine + (name and 1 or 0)\n"
	"end\n"
	"assert(mine >= rounds, mine)\n"
	"assert(bpf.btf.kernel():find 'struct task_struct' and #bpf.features.prog_types() == 0)\n";

static struct bpf_object *shared;
static int plain, memory, rounds;
static atomic_int running;

static int fail(lua_State *L, const char *what)
{
	fprintf(stderr, "%s: %s\n", what, lua_tostring(L, -1));
	return 1;
}

/* To the process. */
static int send_signal(lua_State *L)
{
	(void)L;
	kill(getpid(), SIGUSR1);
	return 0;
}

static int use(lua_State *L, int n)
{
	if (lbpf_open(L))
		return fail(L, "lbpf_open");
	lua_register(L, "send_signal", send_signal);
	if (luaL_loadstring(L, script))
		return fail(L, "script");
	lua_pushinteger(L, n);
	lua_pushinteger(L, rounds);
	if (lbpf_push_map_fd(L, plain, LBPF_BORROW) || lbpf_push_map_fd(L, memory, LBPF_BORROW) ||
	    lbpf_push_object(L, shared, LBPF_BORROW))
		return fail(L, "push");
	return lua_pcall(L, 5, 0, 0) ? fail(L, "thread") : 0;
}

static void *thread(void *arg)
{
	lua_State *L = luaL_newstate();
	int *n = arg;

	luaL_openlibs(L);
	*n = use(L, *n);
	lua_close(L);
	running--;
	return NULL;
}

static int heard; /* of messages that name the first thread's file */

__attribute__((format(printf, 2, 0))) static int hear(enum libbpf_print_level level, const char *fmt, va_list args)
{
	char line[256];

	if (level == LIBBPF_DEBUG)
		return 0;
	vsnprintf(line, sizeof(line), fmt, args);
	if (strstr(line, "/proc/self/absent"))
		heard++;
	else
		fprintf(stderr, "not this thread's: %s", line);
	return 0;
}

/* The host's own use of libbpf, whose messages are the host's. */
static int use_libbpf(void)
{
	int asked = 0;

	do {
		bpf_object__open_file("/proc/self/absent", NULL);
		asked++;
	} while (running);
	return heard >= asked ? 0 : 1;
}

/* Loads the shared object. Exits where the kernel, a hardened one, takes no programs of the only type that is used. */
static int load_shared(void)
{
	int err;

	shared = bpf_object__open_file("build/progs/events.bpf.o", NULL);
	err = shared ? bpf_object__load(shared) : -errno;
	if (err == -EPERM && libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_RAW_TRACEPOINT, NULL) != 1) {
		printf("skip threads: the kernel refuses programs of type raw_tracepoint, which all of it needs\n");
		exit(0);
	}
	return err;
}

int main(int argc, char **argv)
{
	LIBBPF_OPTS(bpf_map_create_opts, mmapable, .map_flags = BPF_F_MMAPABLE);
	pthread_t threads[THREADS];
	int results[THREADS], failed;

	rounds = argc > 1 ? atoi(argv[1]) : 10;
	libbpf_set_print(hear);
	plain = bpf_map_create(BPF_MAP_TYPE_HASH, "plain", 4, 8, 10000, NULL);
	memory = bpf_map_create(BPF_MAP_TYPE_ARRAY, "memory", 4, 8, THREADS, &mmapable);
	if (plain < 0 || memory < 0 || load_shared()) {
		fprintf(stderr, "threads: %s\n", strerror(errno));
		return 1;
	}
	for (int i = 0; i < THREADS; i++) {
		results[i] = i;
		running++;
		if (pthread_create(&threads[i], NULL, thread, &results[i]))
			abort();
	}
	failed = use_libbpf();
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		failed |= results[i];
	}
	bpf_object__close(shared);
	return failed;
}
