/* SPDX-License-Identifier: MIT */
/* Links: attachments of programs.
 *
 * The owner keeps its open links in a set. So dropping the value that attach returned detaches nothing. The owner
 * closes its links before itself, because libbpf's USDT links use their object when they are destroyed. A link that was
 * opened by pin or id has no owner: the handle holds a descriptor, and closing it leaves the program attached. A C
 * host's link is borrowed, or given to the state's keeper of links. */
#include "program/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include "base/arg.h"
#include "base/bpffd.h"
#include "base/cause.h"
#include "base/err.h"
#include "base/log.h"
#include "base/newer.h"
#include "base/spare.h"
#include "map/map.h"
#include "program/linkinfo.h"
#include "program/program.h"

/* Makes the handle a closed one. Frees nothing: the caller frees what the handle held. */
static void link_init(void *self)
{
	struct lbpf_link *handle = self;

	handle->first = (struct lbpf_part){ .fd = -1, .event = -1 };
	handle->more = NULL;
	handle->more_count = 0;
	handle->undo = NULL;
	handle->at.target = handle->at.prog = -1;
}

struct lbpf_part *lbpf_link_add(struct lbpf_link *handle)
{
	struct lbpf_part *more;

	if (!lbpf_link_is_open(handle))
		return &handle->first;
	more = realloc(handle->more, (handle->more_count + 1) * sizeof(*more));
	if (!more)
		return NULL;
	handle->more = more;
	more += handle->more_count++;
	*more = (struct lbpf_part){ .fd = -1, .event = -1 };
	return more;
}

void lbpf_link_drop(lua_State *L, int idx)
{
	int top = lua_gettop(L);

	idx = lua_absindex(L, idx);
	if (lua_getiuservalue(L, idx, LBPF_LINK_OWNER) == LUA_TUSERDATA &&
	    lua_getiuservalue(L, -1, LBPF_OWNER_LINKS) == LUA_TTABLE) {
		lua_pushvalue(L, idx);
		lua_pushnil(L);
		lua_rawset(L, -3);
	}
	lua_settop(L, top);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Frees a copy of a link that the parent of this forked process made, and leaves the link attached.
 *
 * bpf_link__destroy can't be used on the copy as it is. Closing the descriptor would be right, because the child has
 * its own. But libbpf also disables a perf event, which the parent uses as well, and unregisters a struct_ops map. So
 * the descriptors are closed here, and libbpf's struct is disconnected before it is freed.
 *
 * The descriptor of a probe's perf event is known only to libbpf (part->event is -1 then); it stays open. */
static void forsake(const struct lbpf_part *part)
{
	int fd = bpf_link__fd(part->link), event = part->event;

	if (fd > 0 && lbpf_fd_is_attachment(fd)) /* for USDT, bpf_link__fd returns a meaningless 0 */
		close(fd);
	if (event >= 0 && event != fd)
		close(event);
	bpf_link__disconnect(part->link);
	bpf_link__destroy(part->link);
}

/* Frees libbpf's struct and leaves the program attached. */
static void part_disconnect(struct lbpf_part *part)
{
	if (part->link) {
		bpf_link__disconnect(part->link);
		bpf_link__destroy(part->link);
	}
}

/* Closes an attachment. With `undo` it is detached. Without, this process only frees its copy (see forsake). */
static void part_close(struct lbpf_part *part, bool undo)
{
	if (part->link && undo)
		bpf_link__destroy(part->link);
	else if (part->link)
		forsake(part);
	close_fd(&part->fd);
}

static void link_release(lua_State *L, int idx, void *self)
{
	struct lbpf_link *handle = self, was = *handle;
	bool undo = lbpf_class_undoes(&was.head);
	struct lbpf_log *log;

	link_init(handle);
	if (lbpf_link_is_open(&was)) {
		log = lbpf_log_begin(L);
		if (undo && was.undo)
			was.undo(&was);
		if (!was.borrowed)
			part_close(&was.first, undo);
		for (size_t i = 0; i < was.more_count; i++)
			part_close(&was.more[i], undo);
		lbpf_log_end(log);
		lbpf_link_drop(L, idx);
	}
	free(was.more);
	close_fd(&was.at.target); /* a link that was never attached may have these */
	close_fd(&was.at.prog);
}

struct lbpf_link *lbpf_link_push(lua_State *L, int owner, const char *kind, const char *of)
{
	struct lbpf_link *handle;

	luaL_checkstack(L, 6, NULL);
	owner = owner ? lua_absindex(L, owner) : 0;
	handle = lbpf_class_new(L, &lbpf_link_class, sizeof(*handle), LBPF_LINK_USER_VALUES);
	handle->kind = kind;
	strncpy(handle->of, of, sizeof(handle->of) - 1);
	if (!owner)
		return handle;
	lua_pushvalue(L, owner);
	lua_setiuservalue(L, -2, LBPF_LINK_OWNER);
	lua_getiuservalue(L, owner, LBPF_OWNER_LINKS);
	lua_pushvalue(L, -2);
	lua_pushboolean(L, 1);
	lua_rawset(L, -3);
	lua_pop(L, 1);
	return handle;
}

void lbpf_link_close(lua_State *L, int idx)
{
	link_release(L, idx, lua_touserdata(L, idx));
}

void lbpf_link_close_all(lua_State *L, int owner, bool asked)
{
	int top = lua_gettop(L);

	if (lua_getiuservalue(L, owner, LBPF_OWNER_LINKS) == LUA_TTABLE)
		/* link_release clears the field of the set that this loop is at, which lua_next allows. */
		for (lua_pushnil(L); lua_next(L, top + 1); lua_pop(L, 1)) {
			struct lbpf_link *handle = lua_touserdata(L, -2);

			handle->head.asked = asked;
			link_release(L, -2, handle);
		}
	lua_settop(L, top);
}

/* ---- the owner of links that no object's handle owns ---- */

static const char KEEPER_KEY;

static void keeper_release(lua_State *L, int idx, void *self)
{
	(void)self;
	lbpf_link_close_all(L, lua_absindex(L, idx), false);
}

static const struct lbpf_class keeper_class = { .name = "bpf.host", .release = keeper_release };

void lbpf_link_push_keeper(lua_State *L)
{
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &KEEPER_KEY) == LUA_TUSERDATA)
		return;
	lua_pop(L, 1);
	lbpf_class_register(L, &keeper_class);
	lbpf_class_new(L, &keeper_class, sizeof(struct lbpf_head), 1);
	lua_newtable(L);
	lua_setiuservalue(L, -2, LBPF_OWNER_LINKS);
	/* A finalizer may have created it meanwhile. */
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &KEEPER_KEY) == LUA_TUSERDATA) {
		lua_remove(L, -2);
		return;
	}
	lua_pop(L, 1);
	lua_pushvalue(L, -1);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &KEEPER_KEY);
}

struct lbpf_link *lbpf_link_check(lua_State *L, int idx)
{
	struct lbpf_link *handle = lbpf_class_check(L, idx, &lbpf_link_class);

	if (!lbpf_link_is_open(handle))
		luaL_error(L, "link is closed");
	return handle;
}

int lbpf_link_descriptor(const struct lbpf_link *handle)
{
	int fd = handle->link ? bpf_link__fd(handle->link) : handle->fd;

	if (handle->more_count)
		return -1;
	/* libbpf's descriptor may be a perf event's (before kernel 5.15) or a struct_ops map's; for USDT it is a
	 * meaningless 0 */
	return handle->link && !lbpf_fd_is_link(fd) ? -1 : fd;
}

int lbpf_link_fail(lua_State *L, const struct lbpf_link *handle, int err, const char *cause, const char *operation)
{
	if (lua_getiuservalue(L, 1, LBPF_LINK_NAME) == LUA_TSTRING)
		return lbpf_err_push(L, err, cause, "link %s: %s", lua_tostring(L, -1), operation);
	return lbpf_err_push(L, err, cause, "link (%s): %s", handle->kind, operation);
}

/* Returns the link's descriptor. If it has none, pushes nil, message and code; *n is the number of values pushed. */
static int link_need_descriptor(lua_State *L, const struct lbpf_link *handle, const char *operation, int *n)
{
	int fd = lbpf_link_descriptor(handle);

	*n = fd >= 0 ? 0
		     : lbpf_link_fail(L, handle, EOPNOTSUPP,
				      handle->more_count ? "this attachment is several links to the kernel, one for "
							   "each thread or CPU"
							 : "this attachment is no link to the kernel",
				      operation);
	return fd;
}

/*** Closes the link, which detaches the program unless the link is pinned or another process has it open. Closing a
link twice is allowed. The collector and the end of a scope detach only what this process attached. They do not detach
what its parent attached before the fork; an explicit close does.
@function link:close
@treturn true
@usage
link:close()
@see bpf_link__destroy */
static int link_close(lua_State *L)
{
	return lbpf_class_close(L, &lbpf_link_class);
}

/*** Detaches the program at once, even if other processes have the link open or the link is pinned, and closes the
handle. Detaching a link twice is allowed.
@function link:detach
@treturn true
@usage
link:detach()
@see bpf_link__detach
@since kernel 5.9; a link of a kind that the kernel can't detach is only closed */
static int link_detach(lua_State *L)
{
	struct lbpf_link *handle = lbpf_class_check(L, 1, &lbpf_link_class);
	int fd = lbpf_link_is_open(handle) ? lbpf_link_descriptor(handle) : -1;

	if (fd >= 0)
		bpf_link_detach(fd);
	return lbpf_class_close(L, &lbpf_link_class);
}

/*** Returns the link's file descriptor, or nil for an attachment that has none. The descriptor belongs to the handle.
@function link:fd
@treturn ?integer
@usage
local fd = link:fd()
@see bpf_link__fd */
static int link_fd(lua_State *L)
{
	int fd = lbpf_link_descriptor(lbpf_link_check(L, 1));

	if (fd < 0)
		lua_pushnil(L);
	else
		lua_pushinteger(L, fd);
	return 1;
}

/* Replaces the attached struct_ops map by another. Returns 0 or an errno. */
static int update_map(const struct lbpf_link *handle, int fd, const struct lbpf_map *map)
{
	if (handle->link && map->of && lbpf_newer_update_map)
		return -lbpf_newer_update_map(handle->link, map->of);
	return bpf_link_update(fd, map->fd, NULL) ? errno : 0;
}

static struct lbpf_map *check_struct_ops(lua_State *L, int idx)
{
	struct lbpf_map *map = lbpf_class_test(L, idx, &lbpf_map_class);

	if (map && map->type != BPF_MAP_TYPE_STRUCT_OPS)
		lbpf_map_cannot(L, map, "link");
	if (map && map->fd < 0)
		lbpf_map_unusable(L, map);
	return map;
}

/*** Replaces the attached program, or the map of a struct_ops link, atomically: no event is missed.
@function link:update
@tparam bpf.prog|bpf.map replacement a loaded program of the same type; for struct_ops a map of section
 ".struct_ops.link" that has the same name in the kernel
@treturn true
@treturn nil,string,string on failure: EOPNOTSUPP (the kernel has no link for the attachment), EINVAL (a program of
 another type, or links of this kind can't be updated), …
@usage
local link <close> = assert(obj.progs.pass:attach_xdp("eth0"))
assert(link:update(obj.progs.drop))
@see bpf_link__update_program, bpf_link__update_map
@since kernel 5.7 for cgroups, 5.9 for xdp, 6.4 and libbpf 1.2 for struct_ops, … */
static int link_update(lua_State *L)
{
	struct lbpf_link *handle = lbpf_link_check(L, 1);
	const struct lbpf_map *map = check_struct_ops(L, 2);
	const struct lbpf_program *p = map ? NULL : lbpf_program_check_loaded(L, 2);
	int n, err, fd = link_need_descriptor(L, handle, "update", &n);

	if (n)
		return n;
	if (map)
		err = update_map(handle, fd, map);
	else
		err = bpf_link_update(fd, lbpf_program_descriptor(p), NULL) ? errno : 0;
	if (err)
		return lbpf_link_fail(L, handle, err,
				      err != EINVAL ? NULL
					      : map ? "the map is for another name, or not of section .struct_ops.link"
						    : "the program is of another type, or this kind of link can't be "
						      "updated",
				      "update");
	lua_pushboolean(L, 1);
	return 1;
}

/*** Pins the link to a path. The program then stays attached when the link is closed and when the process ends.
@function link:pin
@tparam string path on a bpffs, where no file is yet
@treturn true
@treturn nil,string,string on failure: EOPNOTSUPP (the kernel has no link for the attachment), EEXIST, ENOENT, EPERM, …
@usage
assert(link:pin(dir .. "/on_raw")) -- dir is a directory of a bpffs, such as "/sys/fs/bpf/tool"
assert(link:unpin(dir .. "/on_raw"))
@see bpf_link__pin */
static int link_pin(lua_State *L)
{
	struct lbpf_link *handle = lbpf_link_check(L, 1);
	const char *path = lbpf_arg_string(L, 2);
	int n, fd = link_need_descriptor(L, handle, "pin", &n);

	if (n)
		return n;
	if (bpf_obj_pin(fd, path)) {
		int err = errno;
		const char *cause = lbpf_pin_cause(path, err);

		if (!cause && err == EINVAL)
			cause = "perhaps an attachment of a kernel before 5.15, which can't be pinned";
		return lbpf_link_fail(L, handle, err, cause, lua_pushfstring(L, "pin to '%s'", path));
	}
	lua_pushboolean(L, 1);
	return 1;
}

/*** Removes a pin of the link. The program stays attached as long as a process has the link open or the link has
another pin.
@function link:unpin
@tparam string path of a pin of this link
@treturn true
@treturn nil,string,string on failure: ENOENT, EINVAL (the pin of another link, map or program), …
@usage
assert(link:pin(dir .. "/on_raw"))
assert(link:unpin(dir .. "/on_raw"))
@see bpf_link__unpin */
static int link_unpin(lua_State *L)
{
	struct lbpf_link *handle = lbpf_link_check(L, 1);
	const char *path = lbpf_arg_string(L, 2);
	int n, err = lbpf_spare(L, 1), fd = link_need_descriptor(L, handle, "unpin", &n);

	if (n)
		return n;
	if (!err)
		err = lbpf_fd_unpin(fd, path);
	if (err)
		return lbpf_link_fail(L, handle, err, err == EINVAL ? "this is no pin of the link" : NULL,
				      lua_pushfstring(L, "unpin '%s'", path));
	lua_pushboolean(L, 1);
	return 1;
}

/*** Closes the handle without detaching the program. The program stays attached until the process ends. A tc filter, an
XDP program that was attached by netlink and a pinned link outlive the process.
@function link:disconnect
@treturn true
@usage not run: the program stays attached until the process ends
link:disconnect()
@see bpf_link__disconnect */
static int link_disconnect(lua_State *L)
{
	struct lbpf_link *handle = lbpf_link_check(L, 1), was = *handle;

	link_init(handle);
	if (!was.borrowed)
		part_disconnect(&was.first);
	for (size_t i = 0; i < was.more_count; i++)
		part_disconnect(&was.more[i]);
	free(was.more);
	close_fd(&was.at.target);
	close_fd(&was.at.prog);
	lbpf_link_drop(L, 1);
	lua_pushboolean(L, 1);
	return 1;
}

/*** Returns what the kernel knows about the link.
@function link:info
@treturn table id, type, prog_id, and the fields of its type, as from `bpf.links()`
@treturn nil,string,string on failure: EOPNOTSUPP (the kernel has no link for the attachment), EINVAL (a kernel before
 5.8, or an attachment of a kernel before 5.15)
@usage
local info = assert(link:info())
print(info.type, info.tp_name)           -- raw_tracepoint   sys_enter
print(bpf.prog_info(info.prog_id).name)  -- on_raw
@see bpf_obj_get_info_by_fd */
static int link_info(lua_State *L)
{
	struct lbpf_link *handle = lbpf_link_check(L, 1);
	int n, err, fd = link_need_descriptor(L, handle, "info", &n);
	struct lbpf_link_info info;

	if (n)
		return n;
	err = lbpf_link_fetch_info(fd, &info);
	if (err)
		return lbpf_link_fail(L, handle, err, NULL, "info");
	lbpf_link_push_info(L, &info);
	return 1;
}

static int link_tostring(lua_State *L)
{
	struct lbpf_link *handle = lbpf_class_check(L, 1, &lbpf_link_class);
	int fd = lbpf_link_descriptor(handle);

	if (!lbpf_link_is_open(handle))
		lua_pushfstring(L, "bpf.link: %s (%s, closed)", handle->kind, handle->of);
	else if (fd < 0)
		lua_pushfstring(L, "bpf.link: %s (%s, attached)", handle->kind, handle->of);
	else
		lua_pushfstring(L, "bpf.link: %s (%s, fd %d)", handle->kind, handle->of, fd);
	return 1;
}

static const luaL_Reg link_methods[] = {
	{ "close", link_close }, { "detach", link_detach }, { "fd", link_fd },	   { "update", link_update },
	{ "pin", link_pin },	 { "unpin", link_unpin },   { "info", link_info }, { "disconnect", link_disconnect },
	{ NULL, NULL },
};

static const luaL_Reg link_meta[] = {
	{ "__tostring", link_tostring },
	{ NULL, NULL },
};

const struct lbpf_class lbpf_link_class = {
	.name = "bpf.link",
	.descriptors = 4,
	.methods = link_methods,
	.meta = link_meta,
	.init = link_init,
	.release = link_release,
};

void lbpf_link_open(lua_State *L)
{
	lbpf_class_register(L, &lbpf_link_class);
}
