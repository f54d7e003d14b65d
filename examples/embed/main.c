/* SPDX-License-Identifier: MIT */
/* A daemon in C whose policy is a Lua script: BPF counts and reports what is executed, the script says what is worth a
 * line. On SIGHUP the script is loaded anew, in a new Lua state, on the same maps. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <lauxlib.h>
#include <lbpf.h>
#include <lualib.h>

#include "policyd.skel.h"

static const char usage[] = "Usage: policyd POLICY.lua\n"
			    "Runs the policy for each program that is executed, as root, and prints what it answers.\n"
			    "SIGHUP loads the policy anew; a faulty one is refused, and the one before stays. SIGTERM "
			    "and\n"
			    "Ctrl-C end.\n";

struct daemon {
	const char *path;
	struct policyd *skeleton;
	struct btf *btf;
	lua_State *L; /* the policy's; its function is at 1, the type of its records at 2 */
};

/* ---- the policy ---- */

/* In protected mode, in a new state: returns the policy's function, which the script at d->path returns, and the type.
 */
static int open_policy(lua_State *L)
{
	struct daemon *d = lua_touserdata(L, 1);
	int record;

	luaL_openlibs(L);
	if (lbpf_open(L) || luaL_loadfile(L, d->path) || lbpf_push_object(L, d->skeleton->obj, LBPF_BORROW))
		return lua_error(L); /* each has left its message */
	lua_call(L, 1, 1);
	if (!lua_isfunction(L, -1))
		return luaL_error(L, "%s returns no function", d->path);
	record = btf__find_by_name_kind(d->btf, "exec", BTF_KIND_STRUCT);
	if (lbpf_push_type(L, d->btf, (uint32_t)record))
		return lua_error(L);
	return 2;
}

/* Puts a new policy in the place of the one before, if it is in order. */
static bool load_policy(struct daemon *d)
{
	lua_State *L = luaL_newstate();
	int status;

	if (!L) {
		fprintf(stderr, "policyd: no memory\n");
		return false;
	}
	lua_pushcfunction(L, open_policy);
	lua_pushlightuserdata(L, d);
	status = lua_pcall(L, 1, 2, 0);
	if (status != LUA_OK) {
		fprintf(stderr, "policyd: %s\n", lua_tostring(L, -1));
		lua_close(L);
		return false;
	}
	if (d->L)
		lua_close(d->L); /* the object and its maps are ours and stay */
	d->L = L;
	return true;
}

/* libbpf calls this for each record. */
static int on_record(void *ctx, void *data, size_t size)
{
	struct daemon *d = ctx;
	lua_State *L = d->L;

	lua_pushvalue(L, 1);
	if (lbpf_push_value(L, 2, data, size) || lua_pcall(L, 1, 1, 0))
		fprintf(stderr, "policyd: %s\n", lua_tostring(L, -1));
	else if (lua_type(L, -1) == LUA_TSTRING)
		puts(lua_tostring(L, -1));
	lua_settop(L, 2);
	return 0;
}

/* ---- the daemon ---- */

/* Returns whether to go on. */
static bool on_signal(struct daemon *d, int fd)
{
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) != sizeof(info))
		return true;
	if (info.ssi_signo != SIGHUP)
		return false;
	puts(load_policy(d) ? "policy loaded" : "the policy stays as it was");
	return true;
}

static void serve(struct daemon *d, struct ring_buffer *ring, int signals)
{
	struct pollfd fds[] = {
		{ .fd = signals, .events = POLLIN },
		{ .fd = ring_buffer__epoll_fd(ring), .events = POLLIN },
	};
	bool on = true;

	while (on && (poll(fds, 2, -1) > 0 || errno == EINTR)) {
		if (fds[1].revents)
			ring_buffer__consume(ring);
		if (fds[0].revents)
			on = on_signal(d, signals);
	}
	printf("%llu records lost\n", (unsigned long long)d->skeleton->bss->lost);
}

/* From here on signals wait until they are read. */
static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

static int run(struct daemon *d)
{
	struct ring_buffer *ring;
	int signals = open_signals();

	d->btf = bpf_object__btf(d->skeleton->obj);
	if (signals < 0 || policyd__load(d->skeleton)) {
		fprintf(stderr, "policyd: can't load the BPF program: %s\n", strerror(errno));
		return 1;
	}
	if (!load_policy(d))
		return 1;
	ring = ring_buffer__new(bpf_map__fd(d->skeleton->maps.execs), on_record, d, NULL);
	if (!ring || policyd__attach(d->skeleton)) {
		fprintf(stderr, "policyd: can't attach the BPF program: %s\n", strerror(errno));
		ring_buffer__free(ring);
		return 1;
	}
	puts("policy loaded");
	serve(d, ring, signals);
	ring_buffer__free(ring);
	return 0;
}

int main(int argc, char **argv)
{
	struct daemon d = { .path = argv[1] };
	int status;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		fputs(usage, stdout);
		return 0;
	}
	if (argc != 2 || *argv[1] == '-') {
		fputs(usage, stderr);
		return 2;
	}
	d.skeleton = policyd__open();
	if (!d.skeleton) {
		fprintf(stderr, "policyd: can't open the BPF object: %s\n", strerror(errno));
		return 1;
	}
	status = run(&d);
	if (d.L)
		lua_close(d.L); /* before what it borrows */
	policyd__destroy(d.skeleton);
	return status;
}
