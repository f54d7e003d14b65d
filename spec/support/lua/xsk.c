/* SPDX-License-Identifier: MIT */
/* AF_XDP sockets: frames taken from an interface's queue before the kernel's network stack has them.
 *
 *	local s = require "support.xsk".open(ifname, queue)	copies frames, so it works on every driver
 *	s:getfd()						for an xskmap
 *	s:receive(milliseconds)					a frame, or nil if none came in time
 *	s:close()						also at the end of a scope
 *
 * The kernel writes frames into memory that both share (the UMEM), and passes their places through two rings: on the
 * fill ring it gets free places, on the receive ring it returns those that hold a frame. Transmission is left out. */
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/if_xdp.h>

#include <lauxlib.h>

#ifndef AF_XDP
#define AF_XDP 44
#endif
#ifndef SOL_XDP
#define SOL_XDP 283
#endif

#define CLASS "support.xsk"
#define FRAMES 64U /* also the size of each ring; a power of two */
#define FRAME_SIZE 2048U

struct ring {
	void *mapping;
	size_t size;
	uint32_t *producer, *consumer;
	void *descriptors;
};

struct xsk {
	int fd; /* -1: closed */
	void *umem;
	struct ring fill, receive;
};

LUAMOD_API int luaopen_support_xsk(lua_State *L);

static struct xsk *check(lua_State *L)
{
	struct xsk *s = luaL_checkudata(L, 1, CLASS);

	luaL_argcheck(L, s->fd >= 0, 1, "socket is closed");
	return s;
}

static void unmap(struct ring *r)
{
	if (r->mapping)
		munmap(r->mapping, r->size);
	r->mapping = NULL;
}

static int xsk_close(lua_State *L)
{
	struct xsk *s = luaL_checkudata(L, 1, CLASS);

	unmap(&s->fill);
	unmap(&s->receive);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	if (s->umem)
		munmap(s->umem, (size_t)FRAMES * FRAME_SIZE);
	s->umem = NULL;
	return 0;
}

static int fail(lua_State *L, const char *what)
{
	return luaL_error(L, "AF_XDP: %s: %s", what, strerror(errno));
}

static void set(lua_State *L, struct xsk *s, int option, const void *value, socklen_t size, const char *what)
{
	if (setsockopt(s->fd, SOL_XDP, option, value, size))
		fail(L, what);
}

static void map_ring(lua_State *L, struct xsk *s, struct ring *r, const struct xdp_ring_offset *at, size_t entry,
		     off_t page)
{
	void *p;

	r->size = (size_t)at->desc + FRAMES * entry;
	p = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, s->fd, page);
	if (p == MAP_FAILED)
		fail(L, "ring");
	r->mapping = p;
	r->producer = (void *)((char *)p + at->producer);
	r->consumer = (void *)((char *)p + at->consumer);
	r->descriptors = (char *)p + at->desc;
}

/* A queue has one socket, and the kernel lets go of a closed one only some time later. */
static int bind_patiently(int fd, const struct sockaddr_xdp *address)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	int failed = -1;

	for (int i = 0; failed && i < 500; i++) {
		failed = bind(fd, (const struct sockaddr *)address, sizeof(*address));
		if (failed && errno != EBUSY)
			break;
		if (failed)
			nanosleep(&pause, NULL);
	}
	return failed;
}

/* Gives the kernel a place to write a frame to. There are as many places as the ring has room for. */
static void give(struct xsk *s, uint64_t place)
{
	uint32_t at = *s->fill.producer;

	((uint64_t *)s->fill.descriptors)[at % FRAMES] = place;
	__atomic_store_n(s->fill.producer, at + 1, __ATOMIC_RELEASE);
}

static void set_up(lua_State *L, struct xsk *s)
{
	struct xdp_umem_reg umem = { .len = (uint64_t)FRAMES * FRAME_SIZE, .chunk_size = FRAME_SIZE };
	struct xdp_mmap_offsets offsets;
	socklen_t size = sizeof(offsets);
	const int count = FRAMES;
	void *p = mmap(NULL, umem.len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		fail(L, "memory");
	s->umem = p;
	umem.addr = (uintptr_t)p;
	set(L, s, XDP_UMEM_REG, &umem, sizeof(umem), "umem");
	set(L, s, XDP_UMEM_FILL_RING, &count, sizeof(count), "fill ring");
	set(L, s, XDP_UMEM_COMPLETION_RING, &count, sizeof(count), "completion ring");
	set(L, s, XDP_RX_RING, &count, sizeof(count), "receive ring");
	if (getsockopt(s->fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &size))
		fail(L, "offsets");
	map_ring(L, s, &s->fill, &offsets.fr, sizeof(uint64_t), XDP_UMEM_PGOFF_FILL_RING);
	map_ring(L, s, &s->receive, &offsets.rx, sizeof(struct xdp_desc), XDP_PGOFF_RX_RING);
	for (unsigned i = 0; i < FRAMES; i++)
		give(s, (uint64_t)i * FRAME_SIZE);
}

static int xsk_open(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);
	struct sockaddr_xdp address = { .sxdp_family = AF_XDP, .sxdp_flags = XDP_COPY };
	struct xsk *s;

	address.sxdp_queue_id = (uint32_t)luaL_checkinteger(L, 2);
	address.sxdp_ifindex = if_nametoindex(name);
	if (!address.sxdp_ifindex)
		return fail(L, name);
	s = lua_newuserdatauv(L, sizeof(*s), 0);
	memset(s, 0, sizeof(*s));
	s->fd = -1;
	luaL_setmetatable(L, CLASS);
	s->fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return fail(L, "socket");
	set_up(L, s);
	if (bind_patiently(s->fd, &address))
		return fail(L, "bind");
	return 1;
}

static int xsk_getfd(lua_State *L)
{
	lua_pushinteger(L, check(L)->fd);
	return 1;
}

static int xsk_receive(lua_State *L)
{
	struct xsk *s = check(L);
	struct pollfd want = { .fd = s->fd, .events = POLLIN };
	uint32_t at = *s->receive.consumer;
	struct xdp_desc frame;

	if (__atomic_load_n(s->receive.producer, __ATOMIC_ACQUIRE) == at &&
	    (poll(&want, 1, (int)luaL_checkinteger(L, 2)) <= 0 ||
	     __atomic_load_n(s->receive.producer, __ATOMIC_ACQUIRE) == at)) {
		lua_pushnil(L);
		return 1;
	}
	frame = ((struct xdp_desc *)s->receive.descriptors)[at % FRAMES];
	lua_pushlstring(L, (char *)s->umem + frame.addr, frame.len);
	__atomic_store_n(s->receive.consumer, at + 1, __ATOMIC_RELEASE);
	give(s, frame.addr - frame.addr % FRAME_SIZE);
	return 1;
}

static const luaL_Reg functions[] = {
	{ "open", xsk_open },
	{ NULL, NULL },
};

static const luaL_Reg meta[] = {
	{ "__close", xsk_close }, { "__gc", xsk_close },      { "close", xsk_close },
	{ "getfd", xsk_getfd },	  { "receive", xsk_receive }, { NULL, NULL },
};

int luaopen_support_xsk(lua_State *L)
{
	luaL_newmetatable(L, CLASS);
	luaL_setfuncs(L, meta, 0);
	lua_pushvalue(L, -1);
	lua_setfield(L, -2, "__index");
	luaL_newlib(L, functions);
	return 1;
}
