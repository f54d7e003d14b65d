/* SPDX-License-Identifier: MIT */
/* Views: a map's memory as a sequence of values of one type, which is read and written without system calls. A view
 * keeps its map alive, and asks for the map's memory at each access, because closing or freezing the map unmaps it. */
#define _GNU_SOURCE
#include "map/view.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/arg.h"
#include "base/err.h"
#include "map/map.h"

struct view {
	struct lbpf_head head;
	struct lbpf_map *map; /* these two are kept by user values */
	const struct lbpf_type *type;
	size_t offset, count;
};

enum { VIEW_MAP = 1, VIEW_TYPE };

static const struct lbpf_class view_class;

/* The address of element i. Raises if the memory is no longer mapped. */
static uint8_t *view_address(lua_State *L, const struct view *v, size_t i)
{
	if (lbpf_unlikely(!lbpf_map_memory(v->map))) {
		if (v->map->fd < 0)
			lbpf_map_unusable(L, v->map);
		lbpf_map_raise(L, v->map, v->map->mem.err, "view");
	}
	return v->map->mem.base + v->offset + i * v->type->size;
}

/* If accessing a page that no program has allocated would kill the process, lets the kernel copy the value: it returns
 * an error instead. */
static bool copies_by_kernel(const struct view *v)
{
	return v->map->flags & LBPF_SEGV_ON_FAULT;
}

static void copy_by_kernel(lua_State *L, const struct view *v, uint8_t *memory, void *buf, bool write)
{
	struct iovec local = { buf, v->type->size }, remote = { memory, v->type->size };
	ssize_t n = write ? process_vm_writev(getpid(), &local, 1, &remote, 1, 0)
			  : process_vm_readv(getpid(), &local, 1, &remote, 1, 0);

	if (n != (ssize_t)v->type->size)
		lbpf_err_raise(L, n < 0 ? errno : EFAULT, "no program has allocated this page", "map '%s': view",
			       lbpf_map_label(v->map));
}

static size_t view_arg(lua_State *L, const struct view *v)
{
	int is_int;
	lua_Integer i = lua_tointegerx(L, 2, &is_int);

	if (lbpf_unlikely(!is_int || lua_type(L, 2) != LUA_TNUMBER))
		luaL_error(L, "an integer expected as the index of a view, got %s", luaL_tolstring(L, 2, NULL));
	if (lbpf_unlikely(i < 0 || (lua_Unsigned)i >= v->count))
		luaL_error(L,
			   v->count == 0 ? "index %I is outside of this view, which is empty"
					 : "index %I is outside of this view, which goes from 0 to %I",
			   (LUAI_UACINT)i, (LUAI_UACINT)v->count - 1);
	return (size_t)i;
}

static int view_index(lua_State *L)
{
	struct view *v = lbpf_class_check(L, 1, &view_class);
	size_t i = view_arg(L, v);

	if (v->type->depth == 0 && !copies_by_kernel(v)) {
		lbpf_decode(L, v->type, view_address(L, v, i), v->type->size);
		return 1;
	}
	LBPF_SCRATCH(L, copy, v->type->size); /* making tables may run a finalizer that closes the map */
	if (copies_by_kernel(v))
		copy_by_kernel(L, v, view_address(L, v, i), copy, false);
	else
		memcpy(copy, view_address(L, v, i), v->type->size);
	lbpf_decode(L, v->type, copy, v->type->size);
	return 1;
}

static int view_newindex(lua_State *L)
{
	struct view *v = lbpf_class_check(L, 1, &view_class);
	size_t i = view_arg(L, v);
	uint8_t *memory;

	LBPF_SCRATCH(L, copy, v->type->size);
	lbpf_encode(L, v->type, 3, copy, "value");
	memory = view_address(L, v, i);
	if (!v->map->mem.writable)
		lbpf_err_raise(L, EPERM, "the map is frozen, or this handle may only read", "map '%s': view",
			       lbpf_map_label(v->map));
	if (copies_by_kernel(v))
		copy_by_kernel(L, v, memory, copy, true);
	else
		lbpf_copy_value(memory, copy, v->type->size);
	return 0;
}

static int view_len(lua_State *L)
{
	const struct view *v = lbpf_class_check(L, 1, &view_class);

	if (v->map->mem.base)
		view_address(L, v, 0);
	lua_pushinteger(L, (lua_Integer)v->count);
	return 1;
}

static int view_tostring(lua_State *L)
{
	struct view *v = lbpf_class_check(L, 1, &view_class);

	lua_pushfstring(L, "bpf.view: %I × %s of map '%s'%s", (LUAI_UACINT)v->count, v->type->node[0].ctype,
			lbpf_map_label(v->map), v->map->fd < 0 ? " (closed)" : "");
	return 1;
}

/* If the handle is read-only, the kernel makes the mapping private, which maps refuse. */
static const char *no_mapping(const struct lbpf_map *map)
{
	int err = map->mem.err, flags = fcntl(map->fd, F_GETFL);
	bool readonly = err == EINVAL && flags >= 0 && (flags & O_ACCMODE) == O_RDONLY;

	return readonly ? "the kernel maps no memory through a handle that was opened read-only" : NULL;
}

/*** Returns the memory of an arena, or of an array created with the flag "mmapable", as a sequence of values. `v[i]`
reads and `v[i] = x` writes an element without a system call, and programs see the change at once. Indices start at 0,
as in C. `#v` is the number of elements. An element's size is sizeof(type), and an array's values lie at least 8 bytes
apart.

If no program has allocated a page of an arena, touching the page allocates it, or raises an error if the arena has the
flag "segv_on_fault". A forked child does not inherit an arena's memory: using the view there raises an error until
map.view has mapped the arena in the child.
@function bpf.map.view
@tparam bpf.map m
@tparam string|integer|bpf.type type of an element: a name in the object's BTF or the kernel's, C text, or bytes
@tparam ?integer offset of the first element, in bytes from the start of the memory; 0 by default
@tparam ?integer count the number of elements; by default as many as fit
@treturn bpf.view the view, which keeps the map's handle from being collected; usable until the map is closed
@treturn nil,string,string on failure: ENOTSUP, EACCES (a handle that can't read), EINVAL (one that was opened
 read-only: use look-ups), EEXIST (this process has mapped the arena's address otherwise), …
@usage
local view = assert(map.view(slots, "__u64"))
view[2] = 7
assert(slots[2] == 7 and #view >= 8)
@see mmap(2)
@since kernel 5.5 for arrays, 6.9 for arenas */
static int map_view(lua_State *L)
{
	struct lbpf_map *map = lbpf_map_check(L, 1, 0, "view");
	lua_Integer offset = lua_isnoneornil(L, 3) ? 0 : lbpf_arg_int(L, 3, 0, INT64_MAX);
	lua_Integer count = lua_isnoneornil(L, 4) ? -1 : lbpf_arg_int(L, 4, 0, INT64_MAX), room;
	const struct lbpf_type *type;
	struct view *v;

	luaL_checkany(L, 2);
	if (map->column)
		lbpf_map_cannot(L, map, "view");
	if (!lbpf_map_has_memory(map))
		lbpf_map_cannot(L, map, "view: only arrays with the flag \"mmapable\" and arenas do");
	lua_settop(L, 2);
	type = lbpf_map_push_spec(L, 1, 2, "view");
	lbpf_map_check(L, 1, 0, "view"); /* a finalizer may have closed it */
	luaL_argcheck(L, type->size > 0, 2, "a type with a size expected");
	if (type->owned)
		luaL_error(L, "view: %s has members that belong to the kernel", type->node[0].ctype);
	map->mem.refused = false; /* whatever occupied the address may have been unmapped */
	lbpf_mapmem_forget(&map->mem);
	if (!lbpf_map_memory(map))
		return lbpf_map_fail_because(L, map, map->mem.err, no_mapping(map), "view");
	room = offset > (lua_Integer)map->mem.size ? -1 : ((lua_Integer)map->mem.size - offset) / type->size;
	if (room < 0 || count > room)
		luaL_error(L, "view: %I of %s from byte %I on don't fit into %I bytes",
			   (LUAI_UACINT)(count < 0 ? 1 : count), type->node[0].ctype, (LUAI_UACINT)offset,
			   (LUAI_UACINT)map->mem.size);
	v = lbpf_class_new(L, &view_class, sizeof(*v), 2);
	v->map = map;
	v->type = type;
	v->offset = (size_t)offset;
	v->count = (size_t)(count < 0 ? room : count);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, VIEW_MAP);
	lua_pushvalue(L, 3);
	lua_setiuservalue(L, -2, VIEW_TYPE);
	return 1;
}

static const luaL_Reg view_meta[] = {
	{ "__index", view_index },
	{ "__newindex", view_newindex },
	{ "__len", view_len },
	{ "__tostring", view_tostring },
	{ NULL, NULL },
};

static const struct lbpf_class view_class = { .name = "bpf.view", .meta = view_meta };

void lbpf_view_open(lua_State *L)
{
	lbpf_class_register(L, &view_class);
	lua_getfield(L, -1, "map");
	lua_pushcfunction(L, map_view);
	lua_setfield(L, -2, "view");
	lua_pop(L, 1);
}
