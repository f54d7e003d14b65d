/* SPDX-License-Identifier: MIT */
/* Readers of ring buffers.
 *
 * A ring's data is mapped twice in a row, so every record is in one piece. The kernel wakes us only for a record that
 * begins at our stored position. The mappings keep the rings alive, even after the map and the object are closed.
 *
 * Every process that has the map can write our position, and so make the kernel overwrite records that we are reading.
 * So a record's length is checked against the kernel's position, which no other process can write. */
#include "event/ringbuf.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/bpf.h>

#include "base/err.h"
#include "event/reader.h"
#include "map/map.h"

struct ring {
	struct lbpf_source source;
	void *consumer; /* the page that we write */
	void *producer; /* the page that the kernel writes, and the data behind it, twice in a row */
};

static void ring_release(struct lbpf_source *source, bool undo)
{
	struct ring *ring = (struct ring *)source;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	(void)undo;
	if (ring->consumer)
		munmap(ring->consumer, page);
	if (ring->producer)
		munmap(ring->producer, page + 2 * source->size);
}

/* Takes the next record from the ring. */
static bool ring_take(struct lbpf_source *s, unsigned long end, struct lbpf_record *rec)
{
	while ((long)(end - s->pos) > 0) {
		const uint8_t *header = s->data + (s->pos & (s->size - 1));
		uint32_t len =
			atomic_load_explicit((const _Atomic uint32_t *)(const void *)header, memory_order_acquire);
		unsigned long room;

		if (len & BPF_RINGBUF_BUSY_BIT)
			return false;
		rec->len = rec->first = len & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
		room = (rec->len + BPF_RINGBUF_HDR_SZ + 7) / 8 * 8;
		if (lbpf_unlikely(room > end - s->pos))
			return lbpf_source_garbled(s, end, rec);
		rec->data = header + BPF_RINGBUF_HDR_SZ;
		rec->at = s->pos;
		rec->lost = 0;
		s->pos += room;
		if (!(len & BPF_RINGBUF_DISCARD_BIT))
			return true;
	}
	return false;
}

static const struct lbpf_class reader_class;

/* ---- adding rings ---- */

/* Maps the ring as the reader's next source. Returns 0 or an errno. */
static int ring_map(struct lbpf_reader *r, const struct lbpf_map *map, const struct lbpf_feed *feed)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct ring *ring = lbpf_reader_source(r, r->count);
	struct lbpf_source *s = &ring->source;
	void *mem;
	int err;

	*ring = (struct ring){ { .size = map->max_entries, .feed = *feed, .cpu = -1, .fd = map->fd }, NULL, NULL };
	if (s->size > (SIZE_MAX - page) / 2)
		return E2BIG;
	mem = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, map->fd, 0);
	if (mem == MAP_FAILED)
		return errno;
	ring->consumer = mem;
	s->tail = mem;
	mem = mmap(NULL, page + 2 * s->size, PROT_READ, MAP_SHARED, map->fd, (off_t)page);
	if (mem == MAP_FAILED) {
		err = errno;
	} else {
		ring->producer = mem;
		s->head = mem;
		s->data = (uint8_t *)mem + page;
		/* not the position in the page: the first check detects that it differs, as if another reader had
		 * written it */
		s->pos = s->stored = ~atomic_load_explicit(s->tail, memory_order_acquire);
		err = lbpf_reader_add(r);
	}
	if (err)
		ring_release(s, true);
	return err;
}

static const struct lbpf_option ring_options[] = {
	LBPF_READER_OPTIONS,
	{ NULL, LBPF_OPT_OTHER, 0 },
};

/* Adds the ring that the arguments from `first` on (map, type, handler, options) describe to the reader at idx. Returns
 * 0, or the number of values that were pushed for a failure. */
static int reader_add_ring(lua_State *L, int idx, struct lbpf_reader *r, int first)
{
	struct lbpf_map *map = lbpf_map_check(L, first, 0, "ringbuf");
	struct lbpf_reader_options options = { false };
	struct lbpf_feed feed;
	int err;

	luaL_argcheck(L, map->type == BPF_MAP_TYPE_RINGBUF, first, "a map of type ringbuf expected");
	luaL_argexpected(L, lua_isnoneornil(L, first + 2) || lua_isfunction(L, first + 2), first + 2, "function");
	lbpf_arg_options(L, first + 3, ring_options, &options, "ringbuf");
	/* The kernel may be more than a ring ahead, and overwrite what is being read. */
	if (map->flags & LBPF_RB_OVERWRITE)
		return lbpf_err_push(L, EOPNOTSUPP, "a ring with the flag rb_overwrite can't be read in order",
				     "map '%s': ringbuf", lbpf_map_label(map));
	feed = lbpf_reader_feed(L, idx, first, &options);
	lbpf_reader_reserve(L, idx, r, 1);
	lbpf_reader_recheck(L, r);
	lbpf_map_check(L, first, 0, "ringbuf"); /* a finalizer may have closed it */
	err = ring_map(r, map, &feed);
	if (!err)
		return 0;
	lbpf_reader_unfeed(L, idx, &feed);
	return lbpf_err_push(L, err, err == EPERM ? "refused; only one reader may write the ring's position" : NULL,
			     "map '%s': ringbuf", lbpf_map_label(map));
}

static const struct lbpf_reader_kind ring_kind = {
	.cls = &reader_class,
	.name = "ringbuf",
	.what = "ring buffer",
	.source_size = sizeof(struct ring),
	.take = ring_take,
	.release = ring_release,
	.add = reader_add_ring,
};

/*** Opens a reader of a ring buffer map.

- One reader: a ring takes one reader at a time, in all processes, because the reader's position is in memory that
  belongs to the ring. A second reader, in this process or another one, breaks nothing. But it takes records away from
  the first, and both may get a record, or parts of a newer one.
- Position: a reader that finds the position moved continues from there. If no record can begin at the position, because
  something else wrote it, the reader continues with the next record that comes, and calls `lost`.

A ring created with the flag `rb_overwrite` can't be read, because its records may be overwritten while they are read.
@function bpf.ringbuf
@tparam bpf.map map of type ringbuf
@tparam ?string|integer|bpf.type type the C type of the records: a name in the object's BTF or the kernel's, C text, or
 a size in bytes; nil gives the bytes
@tparam ?function handler called by poll and consume with each record; nil for a reader that only events reads
@tparam ?table options
- unpack: true passes the members of a struct as values instead of a table: `function(pid, comm)`
- into: a table to fill with every record instead of creating new ones
- lost: `function(n, why)`, called in its place among the records where records were lost because something else than
  this reader and the kernel wrote the ring's memory; n is 1, and `why` is a text. The kernel does not report records
  that found no room. The program knows of them: `bpf_ringbuf_reserve` returned NULL
@treturn bpf.ringbuf the reader
@treturn nil,string,string on failure: EPERM, EMFILE, EOPNOTSUPP (the ring has the flag `rb_overwrite`), …
@usage
local obj <close> = assert(bpf.load("build/progs/events.bpf.o"))
local reader <close> = assert(bpf.ringbuf(obj.maps.events, "struct event", function(event)
  print(event.pid, event.comm)
end))
reader:poll(10) -- waits up to 10 ms for the first record
@since kernel 5.8 */
static int ringbuf_new(lua_State *L)
{
	return lbpf_reader_new(L, &ring_kind);
}

/*** Adds another ring buffer to the reader. The arguments are those of bpf.ringbuf. In a forked child this raises an
error, because it would add the ring to the parent's reader as well: open a reader of its own there.
@function ringbuf:add
@tparam bpf.map map
@tparam ?string|integer|bpf.type type
@tparam ?function handler
@tparam ?table options
@treturn bpf.ringbuf the reader itself
@treturn nil,string,string on failure
@usage
assert(reader:add(obj.maps.small, "struct note", function(note) print(note.seq) end))
*/
static int ringbuf_add(lua_State *L)
{
	return lbpf_reader_add_map(L, &ring_kind);
}

/* ---- methods ---- */

/*** Passes the records that are there to their handlers. If there are none, the call waits for the first. If a handler
raises an error, the call ends with it: the handler's record counts as consumed, and the next call gets the rest. A ring
without a handler raises an error: read it by ringbuf:events.
@function ringbuf:poll
@tparam ?integer timeout milliseconds to wait for the first record; 0 doesn't wait, -1 or nil waits for ever
@tparam ?integer max how many records to handle at most, 1 or more; nil for all that are there
@treturn integer how many records were handled; 0 when the timeout ended, or after a signal that the process handles.
 With one that bpf.signals catches, the call doesn't wait until it is polled
@treturn nil,string,string on failure: EINTR, in a coroutine only: a signal's handler has set a hook in the main thread,
 during this call or since the reader's last one. `lua` does so for Ctrl-C
@usage
print(reader:poll(1000)) -- 3, after the handler was called for three records
*/
static int ringbuf_poll(lua_State *L)
{
	return lbpf_reader_poll(L, &ring_kind);
}

/*** Passes the records that are there to their handlers, without waiting. A ring without a handler raises an error.
@function ringbuf:consume
@tparam ?integer max how many records to handle at most, 1 or more; nil for all that are there
@treturn integer how many records were handled
@usage
print(reader:consume(2)) -- 2; the third record stays
@see ring_buffer__consume_n */
static int ringbuf_consume(lua_State *L)
{
	return lbpf_reader_consume(L, &ring_kind);
}

/*** Iterates over records as they come: `for e in reader:events(1000) do`. It does not call the handlers.
@function ringbuf:events
@tparam ?integer timeout milliseconds to wait for the next record before the loop ends; -1 or nil waits for ever. A
 signal that bpf.signals catches ends the loop, even if there are records. Other signals don't: Ctrl-C raises an error
 out of the loop. In a coroutine, where that error can't be raised, the loop ends
@treturn function iterator over records, or with `unpack` over their members
@usage
for note in reader:events(10) do
  print(note.seq, note.text)
end
*/
static int ringbuf_events(lua_State *L)
{
	return lbpf_reader_events(L, &ring_kind);
}

/*** Returns how many times records were lost because something else than this reader and the kernel wrote the ring's
memory: see `lost` of bpf.ringbuf.
@function ringbuf:lost
@treturn integer the number
@usage
print(reader:lost()) -- 0
*/
static int ringbuf_lost(lua_State *L)
{
	return lbpf_reader_lost(L, &ring_kind);
}

/*** Returns a descriptor for event loops, which is readable when a record is there. Then call ringbuf:consume.
@function ringbuf:fd
@treturn integer an epoll descriptor, which belongs to the reader: don't close it
@usage
local fd = reader:fd()
*/
static int ringbuf_fd(lua_State *L)
{
	return lbpf_reader_fd(L, &ring_kind);
}

/*** Returns what ringbuf:fd returns, under the name that LuaSocket's select and other loops call. Give them the reader
itself.
@function ringbuf:getfd
@treturn integer the descriptor
@usage
local readable = require("socket").select({ reader }, nil, 1)
if readable[1] then readable[1]:consume() end
*/

/*** Closes the reader. Closing it twice is allowed, and so is closing it in a handler. The maps stay open.
@function ringbuf:close
@treturn true
@usage
reader:close()
*/
static int ringbuf_close(lua_State *L)
{
	return lbpf_class_close(L, &reader_class);
}

static int ringbuf_tostring(lua_State *L)
{
	struct lbpf_reader *r = lbpf_class_check(L, 1, &reader_class);

	if (r->epoll < 0)
		lua_pushliteral(L, "bpf.ringbuf: (closed)");
	else
		lua_pushfstring(L, "bpf.ringbuf: %d ring%s (fd %d)", (int)r->count, r->count == 1 ? "" : "s", r->epoll);
	return 1;
}

static const luaL_Reg ringbuf_methods[] = {
	{ "add", ringbuf_add },	      { "poll", ringbuf_poll },	  { "consume", ringbuf_consume },
	{ "events", ringbuf_events }, { "lost", ringbuf_lost },	  { "fd", ringbuf_fd },
	{ "getfd", ringbuf_fd },      { "close", ringbuf_close }, { NULL, NULL },
};

static const luaL_Reg ringbuf_meta[] = {
	{ "__tostring", ringbuf_tostring },
	{ NULL, NULL },
};

static const struct lbpf_class reader_class = {
	.name = "bpf.ringbuf",
	.descriptors = 4,
	.methods = ringbuf_methods,
	.meta = ringbuf_meta,
	.init = lbpf_reader_init,
	.release = lbpf_reader_release,
};

void lbpf_ringbuf_open(lua_State *L)
{
	lbpf_class_register(L, &reader_class);
	lua_pushcfunction(L, ringbuf_new);
	lua_setfield(L, -2, "ringbuf");
}
