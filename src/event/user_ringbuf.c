/* SPDX-License-Identifier: MIT */
/* Producers of user ring buffers: they send samples from scripts to BPF programs.
 *
 * A producer maps the ring itself. libbpf's producer would work, but it spins while a ring is nearly full, because the
 * kernel reports a ring as writable as soon as one byte is free. Here every drain wakes a waiting submit once
 * (EPOLLET).
 *
 * A sample is first written and then counted by the position, so no incomplete sample is ever in the ring. It is
 * encoded into other memory before that, because encoding may raise, or run a finalizer that closes the producer. The
 * mapping keeps the ring alive, even after the map and the object are closed. */
#include "event/user_ringbuf.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/bpf.h>

#include "base/arg.h"
#include "base/err.h"
#include "base/wait.h"
#include "btf/btf.h"
#include "map/map.h"
#include "value/codec.h"

/* The kernel passes samples to programs as dynptrs, which can't be longer. It would refuse a longer sample, and with it
 * all that follow, for ever. */
#define SAMPLE_MAX ((1u << 24) - 1)

#define TRIES 16 /* attempts to read two positions that are changing */

struct producer {
	struct lbpf_head head;
	int epoll;			 /* -1: closed */
	_Atomic unsigned long *consumer; /* the page that the kernel writes */
	_Atomic unsigned long *producer; /* the page that we write, and the data behind it, twice in a row */
	size_t size;			 /* of the data: a power of two */
	const struct lbpf_type *type;	 /* of the samples */
	struct lbpf_wait_hook hook;
	char name[LBPF_MAP_NAME];
};

enum { PRODUCER_TYPE = 1 }; /* user value */

static const struct lbpf_class producer_class;

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static void producer_init(void *self)
{
	((struct producer *)self)->epoll = -1;
}

static void producer_release(lua_State *L, int idx, void *self)
{
	struct producer *p = self;

	(void)L;
	(void)idx;
	if (p->epoll >= 0)
		close(p->epoll);
	p->epoll = -1;
	if (p->consumer)
		munmap((void *)(uintptr_t)p->consumer, page_size());
	p->consumer = NULL;
	if (p->producer)
		munmap((void *)(uintptr_t)p->producer, page_size() + 2 * p->size);
	p->producer = NULL;
}

static struct producer *producer_check(lua_State *L)
{
	struct producer *p = lbpf_class_check(L, 1, &producer_class);

	if (lbpf_unlikely(p->epoll < 0))
		luaL_error(L, "user ring buffer '%s' is closed", p->name);
	return p;
}

/* Acquires everything into the closed producer. Returns 0 or an errno; the producer then owns what was acquired
 * before. */
static int producer_map(struct producer *p, const struct lbpf_map *map)
{
	struct epoll_event event = { .events = EPOLLOUT | EPOLLET };
	size_t page = page_size();
	void *mem;

	if (map->max_entries > (SIZE_MAX - page) / 2)
		return E2BIG;
	p->size = map->max_entries;
	mem = mmap(NULL, page, PROT_READ, MAP_SHARED, map->fd, 0);
	if (mem == MAP_FAILED)
		return errno;
	p->consumer = mem;
	mem = mmap(NULL, page + 2 * p->size, PROT_READ | PROT_WRITE, MAP_SHARED, map->fd, (off_t)page);
	if (mem == MAP_FAILED)
		return errno;
	p->producer = mem;
	p->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (p->epoll < 0 || epoll_ctl(p->epoll, EPOLL_CTL_ADD, map->fd, &event))
		return errno;
	return 0;
}

/*** Opens a user ring buffer map for sending samples to the BPF programs that drain it. Several producers of a ring may
be open in one thread. Two threads or processes must not send to a ring at the same time, because each writes the
position as if no other did.
@function bpf.user_ringbuf
@tparam bpf.map map of type user_ringbuf
@tparam ?string|integer|bpf.type type the C type of the samples: a name in the object's BTF or the kernel's, C text, or
 a size in bytes; nil for strings of any length
@treturn bpf.user_ringbuf the producer
@treturn nil,string,string on failure: EPERM, EMFILE, …
@usage
local ring <close> = assert(map.create { type = "user_ringbuf", name = "samples", max_entries = 4096 })
local producer <close> = assert(bpf.user_ringbuf(ring, "struct sample { __u32 seq; __u32 value; }"))
assert(producer:submit { seq = 1, value = 10 })
@see user_ring_buffer__new
@since kernel 6.1 */
static int user_ringbuf_new(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, 0, "user_ringbuf");
	struct producer *p;
	int err;

	luaL_argcheck(L, map->type == BPF_MAP_TYPE_USER_RINGBUF, 1, "a map of type user_ringbuf expected");
	lua_settop(L, 2);
	p = lbpf_class_new(L, &producer_class, sizeof(*p), 1);
	lbpf_wait_watch_hook(L, &p->hook);
	strncpy(p->name, lbpf_map_label(map), sizeof(p->name) - 1);
	p->type = lbpf_map_push_spec(L, 1, 2, "sample");
	lua_setiuservalue(L, 3, PRODUCER_TYPE);
	map = lbpf_map_check(L, 1, 0, "user_ringbuf"); /* a finalizer may have closed it */
	err = producer_map(p, map);
	if (err) {
		producer_release(L, 3, p);
		return lbpf_err_push(L, err, NULL, "map '%s': user_ringbuf", p->name);
	}
	return 1;
}

/* ---- samples ---- */

/* Bytes that a sample of len takes, its header included. */
static size_t sample_room(size_t len)
{
	return (len + BPF_RINGBUF_HDR_SZ + 7) / 8 * 8;
}

/* Reads both positions: the producer's, which other processes can write, and the kernel's. Returns whether a sample can
 * begin at the producer's position, and the two are less than a ring apart. If the producer's position was the same
 * before and after the kernel's was read, no other producer is active; then a position that doesn't fit is invalid. */
static bool producer_look(const struct producer *p, unsigned long *end, unsigned long *used)
{
	unsigned long drained;
	int tries = TRIES;

	do {
		*end = atomic_load_explicit(p->producer, memory_order_relaxed);
		drained = atomic_load_explicit(p->consumer, memory_order_acquire);
	} while (atomic_load_explicit(p->producer, memory_order_acquire) != *end && --tries);
	*used = *end - drained;
	if (*end % 8 == 0 && *used <= p->size)
		return true;
	*end = drained;
	return false;
}

/* Writes a sample into the ring. Returns 0, ENOSPC if there is no room, or EIO if the producer's position was invalid.
 * The kernel takes no samples from such a position; it has been set to the kernel's, which leaves the ring empty. */
static int producer_put(struct producer *p, const void *sample, uint32_t len)
{
	uint32_t header[BPF_RINGBUF_HDR_SZ / sizeof(uint32_t)] = { len };
	unsigned long end, used;
	uint8_t *data;

	if (!producer_look(p, &end, &used)) {
		atomic_store_explicit(p->producer, end, memory_order_release);
		return EIO;
	}
	if (p->size - used < sample_room(len))
		return ENOSPC;
	data = (uint8_t *)(uintptr_t)p->producer + page_size() + (end & (p->size - 1));
	memcpy(data, header, sizeof(header));
	memcpy(data + sizeof(header), sample, len);
	atomic_store_explicit(p->producer, end + sample_room(len), memory_order_release);
	return 0;
}

/* Waits for the next drain, and drops the event, so that the descriptor becomes readable with the drain after it.
 * Returns 0, ENOSPC if there was no drain in time, or another errno. */
static int producer_wait(lua_State *L, struct producer *p, int timeout)
{
	struct epoll_event event;
	int err = 0, n;

	if (lbpf_wait_hook_is_new(&p->hook) && !lbpf_wait_hook_is_here(L))
		return EINTR;
	if (timeout)
		err = lbpf_wait_readable(p->hook.main, p->epoll, timeout);
	if (err)
		return err;
	n = epoll_wait(p->epoll, &event, 1, 0);
	return n > 0 ? 0 : n == 0 ? ENOSPC : errno;
}

/* Writes a sample into the ring, and waits for room if necessary. Returns 0 or an errno. It tries once more after
 * events of earlier drains have been dropped. */
static int producer_submit(lua_State *L, struct producer *p, const void *sample, uint32_t len, int timeout)
{
	int err = producer_put(p, sample, len), woken = 0;
	struct lbpf_wait wait;

	if (err == ENOSPC)
		wait = lbpf_wait_begin(timeout);
	while (err == ENOSPC && woken == 0) {
		woken = producer_wait(L, p, lbpf_wait_left(&wait));
		if (woken && woken != ENOSPC)
			return woken;
		err = producer_put(p, sample, len);
	}
	return err;
}

/* The bytes of the sample at stack index 2: those of a string, or the value encoded into scratch, which has type->size
 * bytes. */
static const void *sample_bytes(lua_State *L, const struct lbpf_type *type, void *scratch, size_t *len)
{
	if (type->size == 0 && type->node[0].kind == LBPF_RAW) {
		luaL_checktype(L, 2, LUA_TSTRING);
		return lua_tolstring(L, 2, len);
	}
	lbpf_encode(L, type, 2, scratch, "sample");
	*len = type->size;
	return scratch;
}

static int submit_fail(lua_State *L, const struct producer *p, int err, size_t len)
{
	const char *cause = NULL;

	if (err == ENOSPC)
		cause = "full, until a program drains it";
	else if (err == EINTR)
		cause = "interrupted by a signal";
	else if (err == EIO)
		cause = "another process wrote the position in the shared page; samples that were in the ring are lost";
	else if (err == E2BIG)
		cause = lua_pushfstring(L, "a sample of %I bytes never fits into a ring of %I", (LUAI_UACINT)len,
					(LUAI_UACINT)p->size);
	return lbpf_err_push(L, err, cause, "user ring buffer '%s': submit", p->name);
}

/*** Sends a sample to the program that drains the ring. It does not run the program.
@function user_ringbuf:submit
@param value of the type given to bpf.user_ringbuf, or a string if none was given; a value that does not fit the type
 raises an error
@tparam ?integer timeout milliseconds to wait for room while the ring is full; 0 or nil doesn't wait, -1 waits for
 ever
@treturn true
@treturn nil,string,string on failure: ENOSPC (full, until a program drains it), E2BIG (longer than the ring, or 16 MiB
 and more), EINTR (a signal that the process handles; in a coroutine also if Ctrl-C came since the last wait), EIO
 (another process wrote a position where no sample can begin; the ring is empty now, so submit the sample again)
@usage
assert(producer:submit { seq = 1, value = 10, text = "ten" })
assert(producer:submit({ seq = 2, value = 20 }, 1000)) -- waits up to a second if the ring is full
@see user_ring_buffer__reserve_blocking, user_ring_buffer__submit */
static int user_ringbuf_submit(lua_State *L)
{
	struct producer *p = producer_check(L);
	int timeout = lbpf_wait_arg(L, 3, 0), err;
	const void *sample;
	size_t len;

	luaL_checkany(L, 2);
	LBPF_SCRATCH(L, scratch, p->type->size);
	sample = sample_bytes(L, p->type, scratch, &len);
	p = producer_check(L);
	err = len > SAMPLE_MAX || sample_room(len) > p->size ? E2BIG
							     : producer_submit(L, p, sample, (uint32_t)len, timeout);
	if (err)
		return submit_fail(L, p, err, len);
	lua_pushboolean(L, 1);
	return 1;
}

/*** Returns a descriptor for event loops, which is readable when a program has drained samples since submit last found
the ring full.
@function user_ringbuf:fd
@treturn integer an epoll descriptor, which belongs to the producer: don't close it
@usage
local fd = producer:fd()
*/
static int user_ringbuf_fd(lua_State *L)
{
	lua_pushinteger(L, producer_check(L)->epoll);
	return 1;
}

/*** Returns what user_ringbuf:fd returns, under the name that LuaSocket's select and other loops call. Give them the
producer itself.
@function user_ringbuf:getfd
@treturn integer the descriptor
@usage
local drained = require("socket").select({ producer }, nil, 0)[1] -- nil: the ring was never full
*/

/*** Closes the producer. Closing it twice is allowed. The samples that are in the ring stay there.
@function user_ringbuf:close
@treturn true
@usage
producer:close()
*/
static int user_ringbuf_close(lua_State *L)
{
	return lbpf_class_close(L, &producer_class);
}

static int user_ringbuf_tostring(lua_State *L)
{
	struct producer *p = lbpf_class_check(L, 1, &producer_class);

	if (p->epoll < 0)
		lua_pushfstring(L, "bpf.user_ringbuf: %s (closed)", p->name);
	else
		lua_pushfstring(L, "bpf.user_ringbuf: %s (%I bytes, fd %d)", p->name, (LUAI_UACINT)p->size, p->epoll);
	return 1;
}

static const luaL_Reg user_ringbuf_methods[] = {
	{ "submit", user_ringbuf_submit },
	{ "fd", user_ringbuf_fd },
	{ "getfd", user_ringbuf_fd },
	{ "close", user_ringbuf_close },
	{ NULL, NULL },
};

static const luaL_Reg user_ringbuf_meta[] = {
	{ "__tostring", user_ringbuf_tostring },
	{ NULL, NULL },
};

static const struct lbpf_class producer_class = {
	.name = "bpf.user_ringbuf",
	.descriptors = 4,
	.methods = user_ringbuf_methods,
	.meta = user_ringbuf_meta,
	.init = producer_init,
	.release = producer_release,
};

void lbpf_user_ringbuf_open(lua_State *L)
{
	lbpf_class_register(L, &producer_class);
	lua_pushcfunction(L, user_ringbuf_new);
	lua_setfield(L, -2, "user_ringbuf");
}
