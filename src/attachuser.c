/* SPDX-License-Identifier: MIT */
/* Ways to attach programs to functions and marks of processes. */
#include <errno.h>
#include <string.h>

#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <lauxlib.h>

#include "attach.h"
#include "newer.h"
#include "program.h"

static const struct lbpf_option uprobe_options[] = {
	LBPF_TARGET_OPT(S32, pid),	  LBPF_TARGET_OPT(BOOL, retprobe),
	LBPF_TARGET_OPT(U64, offset),	  LBPF_TARGET_OPT(U64, ref_ctr_offset),
	LBPF_TARGET_OPT(U64, bpf_cookie), { NULL, LBPF_OPT_OTHER, 0 },
};

/* A path or the name of a library or program, and a function's name or an offset in the file. */
static int read_uprobe(lua_State *L, struct lbpf_target *to)
{
	to->path = lbpf_arg_string(L, 2);
	if (lua_type(L, 3) == LUA_TNUMBER)
		to->offset = (uint64_t)lbpf_arg_int(L, 3, 0, INT64_MAX);
	else
		to->func_name = lbpf_arg_string(L, 3);
	return 0;
}

static int attach_uprobe(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .ref_ctr_offset = to->ref_ctr_offset, .bpf_cookie = to->bpf_cookie,
		    .retprobe = to->retprobe, .func_name = to->func_name);

	return lbpf_attach_done(link, bpf_program__attach_uprobe_opts(p->prog, to->pid, to->path, to->offset, &opts));
}

static const struct lbpf_option uprobe_multi_options[] = {
	LBPF_TARGET_OPT(S32, pid),	  LBPF_TARGET_OPT(BOOL, retprobe), LBPF_TARGET_OPT(BOOL, session),
	{ "cookies", LBPF_OPT_OTHER, 0 }, { NULL, LBPF_OPT_OTHER, 0 },
};

static int read_uprobe_multi(lua_State *L, struct lbpf_target *to)
{
	to->path = lbpf_arg_string(L, 2);
	return lbpf_attach_symbols(L, to, 3, 4);
}

static int attach_uprobe_multi(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	struct lbpf_uprobe_multi_opts opts;

	memset(&opts, 0, sizeof(opts));
	opts.sz = sizeof(opts);
	opts.syms = to->syms.names;
	opts.offsets = (const unsigned long *)to->addrs.numbers;
	opts.cookies = to->cookies.numbers;
	opts.cnt = to->syms.count + to->addrs.count;
	opts.retprobe = to->retprobe;
	opts.session = to->session;
	return lbpf_attach_done(link, lbpf_newer_uprobe_multi(p->prog, to->pid, to->path, to->name, &opts));
}

static const struct lbpf_option usdt_options[] = {
	LBPF_TARGET_OPT(S32, pid),
	LBPF_TARGET_OPT(U64, usdt_cookie),
	{ NULL, LBPF_OPT_OTHER, 0 },
};

static int read_usdt(lua_State *L, struct lbpf_target *to)
{
	to->path = lbpf_arg_string(L, 2);
	to->provider = lbpf_arg_string(L, 3);
	to->name = lbpf_arg_string(L, 4);
	return 0;
}

static int attach_usdt(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	LIBBPF_OPTS(bpf_usdt_opts, opts, .usdt_cookie = to->usdt_cookie);

	return lbpf_attach_done(link,
				bpf_program__attach_usdt(p->prog, to->pid, to->path, to->provider, to->name, &opts));
}

/*** Attaches a uprobe or uretprobe program to a function of programs and libraries.
@function prog:attach_uprobe
@tparam string path of the file, or the name of a program in $PATH or of a library ("libc.so.6")
@tparam string|integer func name of the function, or its offset in the file
@tparam ?table options
- pid: the one process, -1 for all (the default), 0 for this one
- retprobe: true runs the program when the function returns
- offset: bytes from the function's start
- ref_ctr_offset: of a semaphore to count up, in the file
- bpf_cookie: what bpf_get_attach_cookie gives (kernel 5.15)
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOENT (no such file or function), EINVAL, …
@see bpf_program__attach_uprobe_opts */

/*** Attaches a uprobe.multi program to many functions of a file at once.
@function prog:attach_uprobe_multi
@tparam string path of the file
@tparam string|table functions a pattern, a sequence of names, or of offsets
@tparam ?table options pid, retprobe, session (libbpf 1.6), and cookies, a sequence with one for each function listed
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOSYS (libbpf before 1.3), …
@see bpf_program__attach_uprobe_multi
@since kernel 6.6, libbpf 1.3 */

/*** Attaches a usdt program to marks that a program or library has of itself.
@function prog:attach_usdt
@tparam string path of the file
@tparam string provider
@tparam string name of the mark
@tparam ?table options
- pid: the one process, -1 for all (the default), 0 for this one
- usdt_cookie: what bpf_usdt_cookie gives
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOENT (no such mark), …
@see bpf_program__attach_usdt */
const struct lbpf_way lbpf_ways_user[] = {
	{ .method = "attach_uprobe",
	  .read = read_uprobe,
	  .options_at = 4,
	  .options = uprobe_options,
	  .attach = attach_uprobe,
	  .types = LBPF_OF(KPROBE) },
	{ .method = "attach_uprobe_multi",
	  .read = read_uprobe_multi,
	  .options_at = 4,
	  .options = uprobe_multi_options,
	  .attach = attach_uprobe_multi,
	  .types = LBPF_OF(KPROBE),
	  .libbpf = "1.3",
	  .symbol = lbpf_newer_uprobe_multi },
	{ .method = "attach_usdt",
	  .read = read_usdt,
	  .options_at = 5,
	  .options = usdt_options,
	  .attach = attach_usdt,
	  .types = LBPF_OF(KPROBE) },
	{ .method = NULL },
};
