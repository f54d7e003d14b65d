/* SPDX-License-Identifier: MIT */
/* Opening programs that the kernel already has, by pin and id; and pins of programs. */
#include "program/open.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include <lauxlib.h>

#include "base/arg.h"
#include "base/bpffd.h"
#include "base/cause.h"
#include "base/err.h"
#include "base/spare.h"
#include "program/program.h"

int lbpf_program_describe(struct lbpf_program *p)
{
	struct lbpf_program_info info;
	int err;

	if (!lbpf_fd_is_prog(p->fd))
		return EINVAL;
	err = lbpf_program_fetch_info(p->fd, &info);
	if (!err) {
		memcpy(p->name, info.kernel.name, sizeof(info.kernel.name));
		p->type = info.kernel.type;
	}
	return err;
}

/* Returns what the Lua function returns. The program and the name of the operation are at the top of the stack; err is
 * the errno of opening the program. */
static int opened(lua_State *L, struct lbpf_program *p, int err, const char *missing, const char *what)
{
	if (!err)
		err = lbpf_program_describe(p);
	if (!err) {
		lua_pop(L, 1);
		return 1;
	}
	lbpf_program_class.release(L, -2, p);
	return lbpf_err_push(L, err,
			     err == ENOENT			     ? missing
				     : err == EINVAL		     ? "this is no program"
				     : err == EPERM || err == EACCES ? lbpf_refused(L, "CAP_BPF or CAP_SYS_ADMIN")
								     : NULL,
			     "%s", what);
}

static struct lbpf_program *push_opened(lua_State *L)
{
	struct lbpf_program *p;

	/* Programs of objects need no descriptor of their own, so the class doesn't check for one. */
	lbpf_spare(L, 1);
	p = lbpf_program_push_alone(L);
	p->owns_fd = true;
	return p;
}

/*** Opens a pinned program. The handle runs and inspects the program and stores it in maps. It also attaches the
program in all ways except those that need its object: attach, attach_kprobe, attach_kprobe_multi, attach_ksyscall,
attach_tracepoint, attach_uprobe, attach_uprobe_multi and attach_usdt. Links of such a handle stay attached until they
are closed or the script ends.
@function bpf.prog.open
@tparam string path of the pin on a bpffs
@treturn bpf.prog the program
@treturn nil,string,string on failure: ENOENT, EPERM, EINVAL (the pin of something else)
@usage
assert(prog:pin(dir .. "/filter")) -- dir is a directory of a bpffs, such as "/sys/fs/bpf/tool"
local same <close> = assert(bpf.prog.open(dir .. "/filter"))
local result = assert(same:run { data = ("\0"):rep(64) })
@see bpf_obj_get */
static int prog_open(lua_State *L)
{
	const char *path = lbpf_arg_string(L, 1);
	struct lbpf_program *p = push_opened(L);
	int err;

	p->fd = bpf_obj_get(path);
	err = p->fd < 0 ? errno : 0;
	return opened(L, p, err, NULL, lua_pushfstring(L, "prog.open '%s'", path));
}

/*** Opens the program that has an id in the kernel. What the handle can do is as for bpf.prog.open.
@function bpf.prog.by_id
@tparam integer id as `prog:info().id` and bpftool print it
@treturn bpf.prog the program
@treturn nil,string,string on failure: ENOENT (no such program), EPERM (no CAP_SYS_ADMIN)
@usage
local same <close> = assert(bpf.prog.by_id(prog:info().id))
print(same:name()) -- on_packet
@see bpf_prog_get_fd_by_id */
static int prog_by_id(lua_State *L)
{
	lua_Integer id = lbpf_arg_int(L, 1, 0, UINT32_MAX);
	struct lbpf_program *p = push_opened(L);
	int err;

	p->fd = bpf_prog_get_fd_by_id((uint32_t)id);
	err = p->fd < 0 ? errno : 0;
	return opened(L, p, err, "no such program", lua_pushfstring(L, "prog.by_id %I", (LUAI_UACINT)id));
}

/*** Pins the program to a path. A pinned program outlives its handles, and other processes can open it.
@function prog:pin
@tparam string path on a bpffs, where no file is yet
@treturn true
@treturn nil,string,string on failure: EEXIST, ENOENT, EPERM, …
@usage
assert(prog:pin(dir .. "/filter")) -- dir is a directory of a bpffs, such as "/sys/fs/bpf/tool"
@see bpf_obj_pin */
static int program_pin(lua_State *L)
{
	struct lbpf_program *p = lbpf_program_check_loaded(L, 1);
	const char *path = lbpf_arg_string(L, 2);

	if (bpf_obj_pin(lbpf_program_descriptor(p), path)) {
		int err = errno;

		return lbpf_err_push(L, err, lbpf_pin_cause(path, err), "program '%s': pin to '%s'", p->name, path);
	}
	lua_pushboolean(L, 1);
	return 1;
}

/*** Removes a pin of the program. The handle stays open.
@function prog:unpin
@tparam string path of a pin of this program
@treturn true
@treturn nil,string,string on failure: ENOENT, EINVAL (the pin of another program, map or link), …
@usage
assert(prog:pin(dir .. "/filter"))
assert(prog:unpin(dir .. "/filter"))
@see unlink(2) */
static int program_unpin(lua_State *L)
{
	struct lbpf_program *p = lbpf_program_check_loaded(L, 1);
	const char *path = lbpf_arg_string(L, 2);
	int err = lbpf_spare(L, 1);

	if (!err)
		err = lbpf_fd_unpin(lbpf_program_descriptor(p), path);
	if (err)
		return lbpf_err_push(L, err, err == EINVAL ? "this is no pin of the program" : NULL,
				     "program '%s': unpin '%s'", p->name, path);
	lua_pushboolean(L, 1);
	return 1;
}

static const luaL_Reg functions[] = {
	{ "open", prog_open },
	{ "by_id", prog_by_id },
	{ NULL, NULL },
};

static const luaL_Reg methods[] = {
	{ "pin", program_pin },
	{ "unpin", program_unpin },
	{ NULL, NULL },
};

void lbpf_progopen_open(lua_State *L)
{
	lbpf_class_add_methods(L, &lbpf_program_class, methods);
	lua_getfield(L, -1, "prog");
	luaL_setfuncs(L, functions, 0);
	lua_pop(L, 1);
}
