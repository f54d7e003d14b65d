/* SPDX-License-Identifier: MIT */
/* Opening links that exist already, by pin or id. */
#include "program/linkopen.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include <bpf/bpf.h>

#include "base/arg.h"
#include "base/bpffd.h"
#include "base/cause.h"
#include "base/err.h"
#include "program/link.h"
#include "program/linkinfo.h"

/* Checks the link at the top, after an attempt to set its descriptor. Returns the number of values to return. */
static int link_opened(lua_State *L, struct lbpf_link *handle, int err, const char *cause, const char *what)
{
	struct lbpf_link_info info;

	if (!err && (!lbpf_fd_is_link(handle->fd) || lbpf_link_fetch_info(handle->fd, &info)))
		err = EINVAL;
	if (!err) {
		strncpy(handle->of, lbpf_link_type_name(&info), sizeof(handle->of) - 1);
		lua_pop(L, 1); /* the caller, for messages */
		return 1;
	}
	lbpf_link_close(L, -2);
	return lbpf_err_push(L, err,
			     err == EPERM			      ? lbpf_refused(L, "CAP_BPF or CAP_SYS_ADMIN")
				     : err == EINVAL || err == ENOENT ? cause
								      : NULL,
			     "%s", what);
}

/*** Opens a pinned link. No object owns the handle: closing it leaves the program attached as long as the pin exists.
@function bpf.link.open
@tparam string path of the pin on a bpffs
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOENT, EPERM, EINVAL (the pin of something else)
@usage
assert(link:pin(dir .. "/on_raw"))
local same <close> = assert(bpf.link.open(dir .. "/on_raw"))
assert(same:unpin(dir .. "/on_raw"))
@see bpf_link__open */
static int link_open(lua_State *L)
{
	const char *path = lbpf_arg_string(L, 1);
	struct lbpf_link *handle = lbpf_link_push(L, 0, "open", "");
	int err;

	lua_pushfstring(L, "'%s'", path);
	lua_setiuservalue(L, -2, LBPF_LINK_NAME);
	handle->fd = bpf_obj_get(path);
	err = handle->fd < 0 ? errno : 0;
	return link_opened(L, handle, err, handle->fd < 0 ? NULL : "this is no link",
			   lua_pushfstring(L, "link.open '%s'", path));
}

/*** Opens the link that has an id in the kernel.
@function bpf.link.by_id
@tparam integer id as `link:info().id` and bpftool print it
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOENT (no such link), EPERM (no CAP_SYS_ADMIN)
@usage
local same <close> = assert(bpf.link.by_id(link:info().id))
@see bpf_link_get_fd_by_id
@since kernel 5.8 */
static int link_by_id(lua_State *L)
{
	lua_Integer id = lbpf_arg_int(L, 1, 0, UINT32_MAX);
	struct lbpf_link *handle = lbpf_link_push(L, 0, "by_id", "");
	int err;

	lua_pushfstring(L, "with id %I", (LUAI_UACINT)id);
	lua_setiuservalue(L, -2, LBPF_LINK_NAME);
	handle->fd = bpf_link_get_fd_by_id((uint32_t)id);
	err = handle->fd < 0 ? errno : 0;
	return link_opened(L, handle, err, "no such link", lua_pushfstring(L, "link.by_id %I", (LUAI_UACINT)id));
}

static const luaL_Reg link_functions[] = {
	{ "open", link_open },
	{ "by_id", link_by_id },
	{ NULL, NULL },
};

void lbpf_linkopen_open(lua_State *L)
{
	luaL_newlib(L, link_functions);
	lua_setfield(L, -2, "link");
}
