/* SPDX-License-Identifier: MIT */
#include "program/leftover.h"

#include <errno.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>

#include <lauxlib.h>

#include "base/arg.h"
#include "base/cause.h"
#include "program/linkinfo.h"
#include "program/program.h"

/* The kernel keeps BPF_OBJ_NAME_LEN - 1 bytes of a name. */
static bool same_name(const char *a, const char *b)
{
	return strncmp(a, b, BPF_OBJ_NAME_LEN - 1) == 0;
}

void lbpf_leftover_read(lua_State *L, const char *method, struct lbpf_target *to)
{
	const struct lbpf_program *p = lbpf_program_check_loaded(L, 1);
	int type = lua_istable(L, 3) ? lua_getfield(L, 3, "replace") : (lua_pushnil(L), LUA_TNIL);

	/* The private copy of the options keeps the string. */
	if (type == LUA_TBOOLEAN)
		to->replace = lua_toboolean(L, -1);
	else if (type == LUA_TSTRING)
		to->replaced = lua_tostring(L, -1);
	else if (type != LUA_TNIL)
		luaL_error(L, "%s: option 'replace' must be a boolean or the program's name, got a %s", method,
			   luaL_typename(L, -1));
	if (to->replaced && (!lbpf_arg_is_text(L, -1) || !*to->replaced || !same_name(to->replaced, p->name)))
		luaL_error(L,
			   "%s: option 'replace' must be the program's own name, '%s', by which the next process finds "
			   "what this one leaves; got '%s'",
			   method, p->name, lbpf_arg_show(L, -1));
	lua_pop(L, 1);
}

/* Opens a program by its id. Returns 0 or an errno. */
static int open_program(uint32_t id, struct lbpf_program_info *info, int *fd)
{
	int err;

	*fd = bpf_prog_get_fd_by_id(id);
	if (*fd < 0)
		return errno;
	err = lbpf_program_fetch_info(*fd, info);
	if (!err)
		return 0;
	close(*fd);
	*fd = -1;
	return err;
}

/* ---- XDP ---- */

/* Finds the program in the mode that the flags name. If they name none, finds the one in either mode that needs no
 * hardware, and adds its mode. Returns 0 or an errno. *id is 0 if there is no program. */
static int query_xdp(int ifindex, uint32_t *flags, uint32_t *id)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, found);
	int err = -bpf_xdp_query(ifindex, 0, &found);

	*id = 0;
	if (err)
		return err;
	if (*flags & XDP_FLAGS_HW_MODE)
		*id = found.hw_prog_id;
	else if (found.drv_prog_id && !(*flags & XDP_FLAGS_SKB_MODE)) {
		*id = found.drv_prog_id;
		*flags |= XDP_FLAGS_DRV_MODE;
	} else if (found.skb_prog_id && !(*flags & XDP_FLAGS_DRV_MODE)) {
		*id = found.skb_prog_id;
		*flags |= XDP_FLAGS_SKB_MODE;
	}
	return 0;
}

int lbpf_leftover_xdp(int ifindex, const char *name, uint32_t *flags, int *fd)
{
	struct lbpf_program_info info;
	uint32_t id;
	int err = query_xdp(ifindex, flags, &id);

	*fd = -1;
	if (err || !id)
		return err;
	err = open_program(id, &info, fd);
	if (err == ENOENT)
		return EBUSY; /* it has been replaced just now */
	if (err || same_name(info.kernel.name, name))
		return err;
	close(*fd);
	*fd = -1;
	return EBUSY;
}

/* The id of the link that holds an interface's XDP program, or 0. */
static uint32_t find_xdp_link(int ifindex, uint32_t prog_id)
{
	uint32_t id = 0;

	while (!bpf_link_get_next_id(id, &id)) {
		struct lbpf_link_info info;
		int fd = bpf_link_get_fd_by_id(id), err;

		if (fd < 0)
			continue;
		err = lbpf_link_fetch_info(fd, &info);
		close(fd);
		if (!err && info.kernel.type == BPF_LINK_TYPE_XDP && info.kernel.prog_id == prog_id &&
		    info.kernel.xdp.ifindex == (uint32_t)ifindex)
			return id;
	}
	return 0;
}

const char *lbpf_leftover_xdp_cause(lua_State *L, const struct lbpf_target *to, int err)
{
	struct lbpf_program_info info;
	uint32_t flags = to->flags, id, link;
	char interface[IF_NAMESIZE];
	int fd;

	if (err == EPERM)
		return lbpf_refused(L, "CAP_SYS_ADMIN");
	if ((err != EBUSY && err != EEXIST) || !if_indextoname((unsigned int)to->ifindex, interface))
		return NULL;
	if (query_xdp(to->ifindex, &flags, &id))
		return NULL;
	if (!id)
		return lua_pushfstring(L,
				       "a program is attached to the interface in another mode: leave out option "
				       "'mode', or take it off: lua-bpf detach xdp %s",
				       interface);
	if (open_program(id, &info, &fd))
		return NULL;
	close(fd);
	link = find_xdp_link(to->ifindex, id);
	if (link)
		return lua_pushfstring(L,
				       "a link (id %I) holds program '%s': close it in its process, or take it off: "
				       "lua-bpf detach link %I",
				       (LUAI_UACINT)link, info.kernel.name, (LUAI_UACINT)link);
	return lua_pushfstring(L,
			       "the interface has program '%s' (id %I), and option 'replace' takes over '%s' only; to "
			       "take the other off: lua-bpf detach xdp %s",
			       info.kernel.name, (LUAI_UACINT)id, to->replaced, interface);
}

/* ---- tc ---- */

static bool is_named(uint32_t id, const char *name, int *err)
{
	struct lbpf_program_info info;
	int fd;

	*err = open_program(id, &info, &fd);
	if (*err)
		return false;
	close(fd);
	return same_name(info.kernel.name, name);
}

int lbpf_leftover_tc(int ifindex, uint32_t parent, const struct lbpf_target *to, struct lbpf_leftovers *out)
{
	struct lbpf_rows rows = { .at = out->filter, .room = sizeof(out->filter) / sizeof(*out->filter) };
	int err = lbpf_qdisc_filters(ifindex, parent, &rows);

	out->count = 0;
	if (err || rows.count > rows.room)
		return err ? err : E2BIG;
	for (size_t i = 0; i < rows.count; i++) {
		struct lbpf_filter it = out->filter[i];

		/* libbpf attaches to chain 0 and for all protocols */
		if (!it.ifindex || it.chain || it.protocol != htons(ETH_P_ALL) ||
		    (to->handle && it.handle != to->handle) || (to->priority && it.priority != to->priority))
			continue;
		if (is_named(it.prog_id, to->replaced, &err))
			out->filter[out->count++] = it;
		if (err && err != ENOENT)
			return err;
	}
	return 0;
}

const char *lbpf_leftover_tc_cause(lua_State *L, const struct lbpf_target *to, uint32_t parent)
{
	struct lbpf_filter filter[128];
	struct lbpf_rows rows = { .at = filter, .room = sizeof(filter) / sizeof(*filter) };
	char interface[IF_NAMESIZE];

	if (lbpf_qdisc_filters(to->ifindex, parent, &rows) || !if_indextoname((unsigned int)to->ifindex, interface))
		return NULL;
	for (size_t i = 0; i < rows.count && i < rows.room; i++)
		if (filter[i].handle == to->handle && filter[i].priority == to->priority)
			return lua_pushfstring(L,
					       "filter '%s' has this handle and priority, and option 'replace' takes "
					       "over program '%s' only; to take the other off: lua-bpf detach tc %s "
					       "--priority %I --handle %I",
					       filter[i].name, to->replaced, interface, (LUAI_UACINT)to->priority,
					       (LUAI_UACINT)to->handle);
	return NULL;
}
