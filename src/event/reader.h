/* SPDX-License-Identifier: MIT */
/* What readers of ring buffers and of perf buffers share: sources that the kernel fills, the forms in which scripts get
 * records, and waiting with a deadline. */
#ifndef LBPF_EVENT_READER_H
#define LBPF_EVENT_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lua.h>

#include "base/arg.h"
#include "base/class.h"
#include "base/compat.h"
#include "base/latch.h"
#include "base/wait.h"
#include "event/source.h"

LBPF_HIDDEN_BEGIN

struct lbpf_reader;

/* User values: the memory of the sources; and a table that has, for each feed, the handler, the type, the table to fill
 * and the function for losses. */
enum { LBPF_READER_SOURCES = 1, LBPF_READER_REFS };

enum { LBPF_REF_HANDLER = 1, LBPF_REF_TYPE, LBPF_REF_INTO, LBPF_REF_LOST, LBPF_REFS = LBPF_REF_LOST };

/* A kind of reader. */
struct lbpf_reader_kind {
	const struct lbpf_class *cls;
	const char *name;   /* the Lua function that creates one */
	const char *what;   /* what error messages call the reader, and what it reads */
	size_t source_size; /* size of the struct of one source */
	bool unshared;	    /* the kernel doesn't pass a source's memory on to a forked child */
	/* A source's descriptor reports only once that it is readable, to whoever asks first */
	bool once;
	/* Takes the next record from a source, up to position `end`, which is at most the size of the data ahead.
	 * Returns false if there is none. The record's memory stays valid until the position is stored. */
	bool (*take)(struct lbpf_source *source, unsigned long end, struct lbpf_record *rec);
	/* Frees what the source holds; with `undo`, also removes the source from the map. */
	void (*release)(struct lbpf_source *source, bool undo);
	/* Adds the map at stack index `first`, with the arguments after it, to the reader at idx. Returns 0, or the
	 * number of values that were pushed for a failure. */
	int (*add)(lua_State *L, int idx, struct lbpf_reader *r, int first);
};

struct lbpf_reader {
	struct lbpf_head head;
	const struct lbpf_reader_kind *kind;
	int epoll;	      /* -1: closed */
	uint32_t count, room; /* of the array of sources */
	uint32_t turn;	      /* the source at which events() and bounded reading begin */
	void *source;	      /* kept by a user value */
	lua_Integer feeds;
	uint64_t lost;
	struct lbpf_wait_hook hook;
	struct lbpf_latch latch; /* for event loops; opened when a script asks for its descriptor */
};

/* The class's init and release. */
void lbpf_reader_init(void *self);
void lbpf_reader_release(lua_State *L, int idx, void *self);

/* Returns the open reader at index 1; raises otherwise. */
struct lbpf_reader *lbpf_reader_check(lua_State *L, const struct lbpf_reader_kind *kind);

/* Raises if the reader was closed meanwhile. */
void lbpf_reader_recheck(lua_State *L, const struct lbpf_reader *r);

/* The options that all kinds have. They come first in a kind's table of options, and in the struct that the table
 * fills. */
struct lbpf_reader_options {
	bool unpack;
};

#define LBPF_READER_OPTIONS                                                                                       \
	{ "unpack", LBPF_OPT_BOOL, offsetof(struct lbpf_reader_options, unpack) }, { "into", LBPF_OPT_OTHER, 0 }, \
	{                                                                                                         \
		"lost", LBPF_OPT_OTHER, 0                                                                         \
	}

/* Reads the arguments from stack index `first` on (map, type, handler, table of options) into a new feed of the reader
 * at idx. */
struct lbpf_feed lbpf_reader_feed(lua_State *L, int idx, int first, const struct lbpf_reader_options *options);

/* Removes a feed whose sources could not be opened. */
void lbpf_reader_unfeed(lua_State *L, int idx, const struct lbpf_feed *feed);

/* Makes room for more sources. Allocates, so a finalizer may close the reader or add sources meanwhile. */
void lbpf_reader_reserve(lua_State *L, int idx, struct lbpf_reader *r, uint32_t more);

/* The memory of source i. */
static inline void *lbpf_reader_source(const struct lbpf_reader *r, uint32_t i)
{
	return (char *)r->source + i * r->kind->source_size;
}

/* Adds the source that the caller has stored in the next free place. Returns 0 or an errno. */
int lbpf_reader_add(struct lbpf_reader *r);

/* Makes the sources that were added wake event loops, too. Returns 0 or an errno. */
int lbpf_reader_added(struct lbpf_reader *r);

/* Creates a reader from the arguments: what bpf.ringbuf and bpf.perfbuf do. */
int lbpf_reader_new(lua_State *L, const struct lbpf_reader_kind *kind);

/* The methods; the reader is at index 1 and the arguments follow. */
int lbpf_reader_add_map(lua_State *L, const struct lbpf_reader_kind *kind);
int lbpf_reader_poll(lua_State *L, const struct lbpf_reader_kind *kind);
int lbpf_reader_consume(lua_State *L, const struct lbpf_reader_kind *kind);
int lbpf_reader_events(lua_State *L, const struct lbpf_reader_kind *kind);
int lbpf_reader_lost(lua_State *L, const struct lbpf_reader_kind *kind);
int lbpf_reader_fd(lua_State *L, const struct lbpf_reader_kind *kind);

LBPF_HIDDEN_END

#endif
