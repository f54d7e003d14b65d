/* SPDX-License-Identifier: MIT */
/* The kernel's functions by address: /proc/kallsyms in a sorted array, with all names in one block.
 *
 * The handle owns the array and the block until it is collected. Half of a kernel's symbols may be the padding in front
 * of the functions: `__pfx_vfs_read` stands right before `vfs_read`. Such a symbol has no name of its own in the
 * block. */
#define _GNU_SOURCE
#include "system/kallsyms.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>

#include "base/class.h"
#include "base/err.h"
#include "base/spare.h"

#define PATH "/proc/kallsyms"
#define PADDING "__pfx_"
#define PADDING_SIZE (sizeof(PADDING) - 1)
#define IS_PADDING UINT32_C(0x80000000) /* in a symbol's name: PADDING belongs before it */

/* One symbol in 12 bytes, because there are more than 100,000. */
struct symbol {
	uint64_t from;
	uint32_t name; /* its place in the block, and IS_PADDING */
} __attribute__((packed));

struct kallsyms {
	struct lbpf_head head;
	struct symbol *symbols; /* sorted by address */
	size_t count, room;
	char *names; /* "vfs_read" or "nf_hook\t[module]", each with a NUL after it */
	size_t size, names_room;
	bool sorted; /* so far; modules stand in no order */
	bool seen;   /* an address that is not zero */
};

static void kallsyms_release(lua_State *L, int idx, void *self)
{
	struct kallsyms *all = self;

	(void)L;
	(void)idx;
	free(all->symbols);
	free(all->names);
	all->symbols = NULL;
	all->names = NULL;
	all->count = 0;
}

/* ---- reading ---- */

/* Returns the array with room for so many elements: at the same or another place; NULL, and the array stays, if memory
 * ran out. */
static void *reserve(void *array, size_t *room, size_t count, size_t width)
{
	size_t wanted = *room ? *room : 65536;
	void *grown = array;

	while (wanted < count)
		wanted *= 2;
	if (!array || wanted > *room)
		grown = realloc(array, wanted * width);
	if (grown)
		*room = wanted;
	return grown;
}

/* Adds a symbol, whose name is the last text in the block, or drops the name. */
static int add(struct kallsyms *all, uint64_t from, char *name, size_t size)
{
	struct symbol *last = all->count ? &all->symbols[all->count - 1] : NULL, *symbols;
	size_t before = last && !(last->name & IS_PADDING) ? all->size - last->name : 0; /* bytes */

	if (last && last->from == from) /* of several names for one address the first one stays */
		return 0;
	symbols = reserve(all->symbols, &all->room, all->count + 1, sizeof(*symbols));
	if (!symbols)
		return ENOMEM;
	all->symbols = symbols;
	if (all->size + size >= IS_PADDING)
		return EFBIG;
	if (before > PADDING_SIZE && !memcmp(name - before, PADDING, PADDING_SIZE) &&
	    !strcmp(name - before + PADDING_SIZE, name)) {
		memmove(name - before, name, size);
		all->size -= before;
		symbols[all->count - 1].name |= IS_PADDING;
	}
	all->sorted = all->sorted && (!all->count || symbols[all->count - 1].from < from);
	symbols[all->count++] = (struct symbol){ .from = from, .name = (uint32_t)all->size };
	all->size += size;
	all->seen = all->seen || from;
	return 0;
}

/* Reads a line, "ffffffff81000000 T name\t[module]" and a NUL. */
static int read_line(struct kallsyms *all, const char *line, size_t size)
{
	char *end;
	uint64_t from = strtoull(line, &end, 16);
	size_t rest = size - (size_t)(end - line);
	char *names;

	if (end == line || rest < 5 || !strchr("tTwW", end[1])) /* " T x" and the NUL */
		return 0;
	names = reserve(all->names, &all->names_room, all->size + rest - 3, 1);
	if (!names)
		return ENOMEM;
	all->names = names;
	memcpy(names + all->size, end + 3, rest - 3);
	return add(all, from, names + all->size, rest - 3);
}

/* Reads all lines. Returns 0 or an errno. */
static int read_lines(struct kallsyms *all, int fd)
{
	char buffer[16384];
	size_t held = 0;
	ssize_t n;
	int err = 0;

	while (!err && (n = read(fd, buffer + held, sizeof(buffer) - held)) != 0) {
		char *line = buffer, *end;

		if (n < 0 && errno != EINTR)
			return errno;
		held += n < 0 ? 0 : (size_t)n;
		while (!err && (end = memchr(line, '\n', held))) {
			*end++ = '\0';
			err = read_line(all, line, (size_t)(end - line));
			held -= (size_t)(end - line);
			line = end;
		}
		if (held == sizeof(buffer))
			return EFBIG;
		memmove(buffer, line, held);
	}
	return err;
}

/* By address; the first of several names for one address comes last, where a search finds it. */
static int compare(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	return (x->name & ~IS_PADDING) > (y->name & ~IS_PADDING) ? -1 : 1;
}

static int read_all(struct kallsyms *all)
{
	int fd = open(PATH, O_RDONLY | O_CLOEXEC), err;

	if (fd < 0)
		return errno;
	err = read_lines(all, fd);
	close(fd);
	if (!err && !all->sorted)
		qsort(all->symbols, all->count, sizeof(*all->symbols), compare);
	return err;
}

/* ---- functions for Lua ---- */

static const struct lbpf_class kallsyms_class;

/* kallsyms() → a handle with all functions; or nil, message, code. */
static int l_kallsyms(lua_State *L)
{
	struct kallsyms *all = lbpf_class_new(L, &kallsyms_class, sizeof(*all), 0);
	int err = read_all(all);

	if (err)
		return lbpf_err_push(L, err, NULL, PATH);
	if (!all->seen) {
		kallsyms_release(L, 1, all);
		return lbpf_err_push(
			L, EPERM, "the kernel hides its addresses; it takes root, kernel.kptr_restrict below 2", PATH);
	}
	return 1;
}

/* handle:find(address) → name, the bytes from its start, and the module or nil; one nil if no function is there. */
static int kallsyms_find(lua_State *L)
{
	const struct kallsyms *all = lbpf_class_check(L, 1, &kallsyms_class);
	uint64_t address = (uint64_t)luaL_checkinteger(L, 2);
	size_t low = 0, high = all->count;
	const struct symbol *symbol;
	const char *name, *module;

	while (low < high) { /* the first symbol behind the address */
		size_t middle = low + (high - low) / 2;

		if (all->symbols[middle].from <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low) {
		lua_pushnil(L);
		return 1;
	}
	symbol = &all->symbols[low - 1];
	name = all->names + (symbol->name & ~IS_PADDING);
	module = strchrnul(name, '\t');
	lua_pushstring(L, symbol->name & IS_PADDING ? PADDING : "");
	lua_pushlstring(L, name, (size_t)(module - name));
	lua_concat(L, 2);
	lua_pushinteger(L, (lua_Integer)(address - symbol->from));
	if (strlen(module) < 4) /* a tab and brackets */
		return 2;
	lua_pushlstring(L, module + 2, strlen(module) - 3);
	return 3;
}

/* handle:count() → the number of functions. */
static int kallsyms_count(lua_State *L)
{
	const struct kallsyms *all = lbpf_class_check(L, 1, &kallsyms_class);

	lua_pushinteger(L, (lua_Integer)all->count);
	return 1;
}

static const luaL_Reg methods[] = {
	{ "count", kallsyms_count },
	{ "find", kallsyms_find },
	{ NULL, NULL },
};

static void kallsyms_init(void *self)
{
	((struct kallsyms *)self)->sorted = true;
}

static const struct lbpf_class kallsyms_class = {
	.name = "bpf.kallsyms",
	.methods = methods,
	.init = kallsyms_init,
	.release = kallsyms_release,
	.descriptors = 1,
};

void lbpf_kallsyms_open(lua_State *L)
{
	lbpf_class_register(L, &kallsyms_class);
	lua_getfield(L, -1, "posix");
	lua_pushcfunction(L, l_kallsyms);
	lua_setfield(L, -2, "kallsyms");
	lua_pop(L, 1);
}
