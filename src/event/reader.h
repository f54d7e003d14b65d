/* SPDX-License-Identifier: MIT */
/* What readers of ring buffers and of perf buffers share: sources that the kernel fills, the forms in which their
 * records reach scripts, waiting with a deadline. */
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

/* User values: memory of the sources; for each feed its handler, type, table to fill, function for losses. */
enum { LBPF_READER_SOURCES = 1, LBPF_READER_REFS };

enum { LBPF_REF_HANDLER = 1, LBPF_REF_TYPE, LBPF_REF_INTO, LBPF_REF_LOST, LBPF_REFS = LBPF_REF_LOST };

/* A kind of reader. */
struct lbpf_reader_kind {
	const struct lbpf_class *cls;
	const char *name;   /* of the function that makes one */
	const char *what;   /* what errors call the reader, and what it reads */
	size_t source_size; /* of the kind's struct */
	bool unshared;	    /* a forked child doesn't get a source's memory */
	bool once;	    /* a source's descriptor tells only once, whoever asks, that it is readable */
	/* Takes the next record out of a source, up to position end, which is at most its size ahead; false when there
	 * is none. Its memory stays as it is until the position is stored. */
	bool (*take)(struct lbpf_source *source, unsigned long end, struct lbpf_record *rec);
	/* Frees what the source holds; `undo`: and takes it off the map. */
	void (*release)(struct lbpf_source *source, bool undo);
	/* Adds the map at `first`, with the arguments behind it, to the reader at idx. Returns 0, or how many results
	 * of a failure it pushed. */
	int (*add)(lua_State *L, int idx, struct lbpf_reader *r, int first);
};

struct lbpf_reader {
	struct lbpf_head head;
	const struct lbpf_reader_kind *kind;
	int epoll;	      /* -1: closed */
	uint32_t count, room; /* of sources */
	uint32_t turn;	      /* the source that events() and bounded reading look at first */
	void *source;	      /* kept by a user value */
	lua_Integer feeds;
	uint64_t lost;
	struct lbpf_wait_hook hook;
	struct lbpf_latch latch; /* for event loops; open once a script has asked for it */
};

/* What the class's init and release are. */
void lbpf_reader_init(void *self);
void lbpf_reader_release(lua_State *L, int idx, void *self);

/* The open reader at index 1. */
struct lbpf_reader *lbpf_reader_check(lua_State *L, const struct lbpf_reader_kind *kind);

/* Raises if the reader was closed meanwhile. */
void lbpf_reader_recheck(lua_State *L, const struct lbpf_reader *r);

/* The options that all kinds have: first in a kind's table of options and in what that fills. */
struct lbpf_reader_options {
	bool unpack;
};

#define LBPF_READER_OPTIONS                                                                                       \
	{ "unpack", LBPF_OPT_BOOL, offsetof(struct lbpf_reader_options, unpack) }, { "into", LBPF_OPT_OTHER, 0 }, \
	{                                                                                                         \
		"lost", LBPF_OPT_OTHER, 0                                                                         \
	}

/* Reads the arguments from `first` on (map, type, handler, table of options) into a new feed of the reader at idx. */
struct lbpf_feed lbpf_reader_feed(lua_State *L, int idx, int first, const struct lbpf_reader_options *options);

/* Forgets a feed whose sources couldn't be opened. */
void lbpf_reader_unfeed(lua_State *L, int idx, const struct lbpf_feed *feed);

/* Makes room for more sources, which may close the reader or add others. */
void lbpf_reader_reserve(lua_State *L, int idx, struct lbpf_reader *r, uint32_t more);

/* The place of source i. */
static inline void *lbpf_reader_source(const struct lbpf_reader *r, uint32_t i)
{
	return (char *)r->source + i * r->kind->source_size;
}

/* Adds the source that was put into the next place. Returns 0 or an errno. */
int lbpf_reader_add(struct lbpf_reader *r);

/* Has event loops woken by the sources added since. Returns 0 or an errno. */
int lbpf_reader_added(struct lbpf_reader *r);

/* Makes a reader of what the arguments say; what bpf.ringbuf and bpf.perfbuf are. */
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
