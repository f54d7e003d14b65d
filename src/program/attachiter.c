/* SPDX-License-Identifier: MIT */
/* Attaching iterators, which go over objects of the kernel when their link is read. */
#include <fcntl.h>
#include <string.h>

#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <lauxlib.h>

#include "map/descriptor.h"
#include "map/map.h"
#include "program/attach.h"
#include "program/program.h"

static const struct lbpf_option iter_options[] = {
	{ "map", LBPF_OPT_OTHER, 0 },
	{ "cgroup", LBPF_OPT_OTHER, 0 },
	{ "order", LBPF_OPT_STRING, offsetof(struct lbpf_target, mode) },
	LBPF_TARGET_OPT(S32, pid),
	{ "tid", LBPF_OPT_OTHER, 0 },
	{ NULL, LBPF_OPT_OTHER, 0 },
};

static const struct lbpf_name iter_orders[] = {
	{ "self_only", 1 }, { "descendants_pre", 2 }, { "descendants_post", 3 }, { "ancestors_up", 4 }, { NULL, 0 },
};

/* The kernel's union bpf_iter_link_info, of which headers before 6.1 have only a part. */
struct iter_of_cgroup {
	uint32_t order, cgroup_fd;
	uint64_t cgroup_id;
};

struct iter_of_task {
	uint32_t tid, pid, pid_fd;
};

#define ITER_INFO_BYTES 32

/* Reads from the table of options at 2 what the iterator goes over: a map, a cgroup, a task, or everything. */
static int read_iter(lua_State *L, struct lbpf_target *to)
{
	uint8_t *info = lua_newuserdatauv(L, ITER_INFO_BYTES, 0);
	struct iter_of_cgroup cgroup = { .order = 1 };
	struct iter_of_task task = { 0 };
	int err = 0;

	memset(info, 0, ITER_INFO_BYTES);
	if (!lua_istable(L, 2))
		return 0;
	if (lua_getfield(L, 2, "map") != LUA_TNIL) {
		to->map = lbpf_map_check(L, lua_gettop(L), 0, "iterator");
		to->iter = (void *)info;
	}
	if (lua_getfield(L, 2, "cgroup") != LUA_TNIL) {
		int fd;

		err = lbpf_descriptor_path(L, lua_gettop(L), O_RDONLY, &fd);
		if (err)
			return err;
		to->fd = fd;
		cgroup.cgroup_fd = (uint32_t)fd;
		if (to->mode && lbpf_name_value(iter_orders, to->mode) < 0)
			lbpf_name_unknown(L, iter_orders, "order", to->mode);
		if (to->mode)
			cgroup.order = (uint32_t)lbpf_name_value(iter_orders, to->mode);
		memcpy(info, &cgroup, sizeof(cgroup));
		to->iter = (void *)info;
	}
	task.pid = to->pid > 0 ? (uint32_t)to->pid : 0;
	if (lua_getfield(L, 2, "tid") != LUA_TNIL)
		task.tid = (uint32_t)lbpf_arg_field(L, "attach_iter", "tid", 1, INT32_MAX);
	if (task.pid || task.tid) {
		memcpy(info, &task, sizeof(task));
		to->iter = (void *)info;
	}
	return 0;
}

/* For a map, the struct's first member is the map's descriptor. */
static void put_map(const struct lbpf_target *to)
{
	uint32_t fd = to->map ? (uint32_t)to->map->fd : 0;

	if (to->map)
		memcpy(to->iter, &fd, sizeof(fd));
}

static int attach_iter(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	LIBBPF_OPTS(bpf_iter_attach_opts, opts, .link_info = to->iter,
		    .link_info_len = to->iter ? sizeof(union bpf_iter_link_info) : 0);

	put_map(to);
	return lbpf_attach_done(link, bpf_program__attach_iter(p->prog, &opts));
}

static int opened_iter(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	put_map(to);
	return lbpf_opened_iter(link, p, to);
}

/*** Attaches an iterator program, and returns a link whose link:lines, link:read and link:records run it. Attaching
does not run the program.
@function prog:attach_iter
@tparam ?table options what to iterate over, for programs that take it; by default everything of their kind:
- map: the map whose elements the program gets
- cgroup: path or descriptor of the cgroup to begin with (kernel 6.1)
- order: which cgroups the program gets: "self_only" (the default), "descendants_pre", "descendants_post" or
  "ancestors_up" (kernel 6.1)
- pid: the process whose threads the program gets (kernel 6.1)
- tid: the one thread that the program gets (kernel 6.1)
@treturn bpf.link the link
@treturn nil,string,string on failure
@usage
local link <close> = assert(obj.progs.tasks:attach_iter()) -- SEC("iter/task")
local text = link:read()
@see bpf_program__attach_iter
@since kernel 5.8 */
const struct lbpf_way lbpf_ways_iter[] = {
	{ .method = "attach_iter",
	  .read = read_iter,
	  .options_at = 2,
	  .options = iter_options,
	  .attach = attach_iter,
	  .opened = opened_iter,
	  .cause = lbpf_attachcause_iter,
	  .types = LBPF_OF(TRACING) },
	{ .method = NULL },
};
