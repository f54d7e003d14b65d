/* SPDX-License-Identifier: MIT */
/* Ways to attach programs to functions of processes, and to their USDT probes. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <lauxlib.h>

#include "base/newer.h"
#include "program/attach.h"
#include "program/program.h"
#include "program/userfunc.h"

static const struct lbpf_option uprobe_options[] = {
	LBPF_TARGET_OPT(S32, pid),	  LBPF_TARGET_OPT(BOOL, retprobe),
	LBPF_TARGET_OPT(U64, offset),	  LBPF_TARGET_OPT(U64, ref_ctr_offset),
	LBPF_TARGET_OPT(U64, bpf_cookie), { NULL, LBPF_OPT_OTHER, 0 },
};

/* Reads a path, or the name of a library or program; and a function's name, or an offset in the file. */
static int read_uprobe(lua_State *L, struct lbpf_target *to)
{
	to->path = lbpf_arg_string(L, 2);
	if (lua_type(L, 3) == LUA_TNUMBER)
		to->offset = (uint64_t)lbpf_arg_int(L, 3, 0, INT64_MAX);
	else
		to->func_name = lbpf_arg_string(L, 3);
	return 0;
}

/* The functions and places that the arguments name, for which the file is searched. */
static struct lbpf_elfsym place_of(const struct lbpf_target *to)
{
	return (struct lbpf_elfsym){ .name = to->func_name, .offset = to->func_name ? 0 : to->offset };
}

static int attach_uprobe(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .ref_ctr_offset = to->ref_ctr_offset, .bpf_cookie = to->bpf_cookie,
		    .retprobe = to->retprobe, .func_name = to->func_name);
	struct lbpf_elfsym place = place_of(to);
	uint64_t offset = to->offset;
	char room[PATH_MAX];
	int err = lbpf_userfunc_find(to->path, &place, 1);

	if (err > 0)
		return err;
	if (!err && to->func_name) {
		opts.func_name = NULL;
		offset += place.offset;
	}
	return lbpf_attach_done(link,
				bpf_program__attach_uprobe_opts(p->prog, to->pid, lbpf_userfunc_path(room, to->path),
								offset, &opts));
}

static const char *uprobe_cause(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to, int err)
{
	struct lbpf_elfsym place = place_of(to);

	(void)p;
	return lbpf_userfunc_find(to->path, &place, 1) == err ? lbpf_userfunc_cause(L, to->path, &place, 1, err) : NULL;
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

/* How many functions or places to find: those of the list, or the one that a pattern without wildcards names. libbpf
 * resolves patterns with wildcards. */
static size_t count_places(const struct lbpf_target *to)
{
	return to->name ? !strpbrk(to->name, "*?") : to->syms.count + to->addrs.count;
}

static void list_places(struct lbpf_elfsym *list, size_t count, const struct lbpf_target *to)
{
	for (size_t i = 0; i < count; i++)
		list[i] = (struct lbpf_elfsym){ .name = to->name	 ? to->name
							: to->syms.count ? to->syms.names[i]
									 : NULL,
						.offset = to->addrs.count ? to->addrs.numbers[i] : 0 };
}

/* Finds them. The memory is allocated by malloc. */
static int find_places(unsigned long *offsets, struct lbpf_elfsym *list, size_t count, const struct lbpf_target *to)
{
	int err;

	if (!offsets || !list)
		return ENOMEM;
	list_places(list, count, to);
	err = lbpf_userfunc_find(to->path, list, count);
	for (size_t i = 0; i < count; i++)
		offsets[i] = list[i].offset;
	return err;
}

static int attach_uprobe_multi(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	size_t count = count_places(to);
	struct lbpf_elfsym *list = calloc(count + 1, sizeof(*list));
	unsigned long *offsets = calloc(count + 1, sizeof(*offsets));
	int err = count ? find_places(offsets, list, count, to) : -1;
	const char *pattern = err ? to->name : NULL;
	struct lbpf_uprobe_multi_opts opts;
	char room[PATH_MAX];

	memset(&opts, 0, sizeof(opts));
	opts.sz = sizeof(opts);
	opts.syms = err ? to->syms.names : NULL;
	opts.offsets = err ? (const unsigned long *)to->addrs.numbers : offsets;
	opts.cookies = to->cookies.numbers;
	opts.cnt = pattern ? 0 : count;
	opts.retprobe = to->retprobe;
	opts.session = to->session;
	if (err <= 0)
		err = lbpf_attach_done(link,
				       lbpf_newer_uprobe_multi(p->prog, to->pid, lbpf_userfunc_path(room, to->path),
							       pattern, &opts));
	free(list);
	free(offsets);
	return err;
}

static const char *uprobe_multi_cause(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to, int err)
{
	size_t count = count_places(to);
	struct lbpf_elfsym *list = lua_newuserdatauv(L, (count + 1) * sizeof(*list), 0);

	(void)p;
	list_places(list, count, to);
	return count && lbpf_userfunc_find(to->path, list, count) == err
		? lbpf_userfunc_cause(L, to->path, list, count, err)
		: NULL;
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

static const char *usdt_cause(lua_State *L, const struct lbpf_program *p, const struct lbpf_target *to, int err)
{
	(void)p;
	/* the only other reason is that the process doesn't exist */
	if (err == ESRCH && (to->pid <= 0 || kill(to->pid, 0) == 0 || errno == EPERM))
		return "the object lacks the maps of <bpf/usdt.bpf.h>, which programs for USDT probes include";
	return err == ENOENT ? lbpf_userfunc_no_probe(L, to->path, to->provider, to->name) : NULL;
}

/* ---- sections that name a function or a USDT probe ---- */

/* Sections for functions of a file: "uprobe/<path>:<function>+<offset>", "uprobe.multi/<path>:<pattern>". */
static const struct {
	const char *name;
	bool retprobe, multi, session;
} kinds[] = {
	{ "uprobe", false, false, false },	  { "uprobe.s", false, false, false },
	{ "uretprobe", true, false, false },	  { "uretprobe.s", true, false, false },
	{ "uprobe.multi", false, true, false },	  { "uprobe.multi.s", false, true, false },
	{ "uretprobe.multi", true, true, false }, { "uretprobe.multi.s", true, true, false },
	{ "uprobe.session", false, true, true },  { "uprobe.session.s", false, true, true },
};

/* Reads the part after the path of "usdt/<path>:<provider>:<name>". */
static bool read_provider(struct lbpf_target *to, char *probe)
{
	char *name = strchr(probe, ':');

	if (!name)
		return false;
	*name++ = '\0';
	to->provider = probe;
	to->name = name;
	return true;
}

/* Reads a section's text, and cuts it into pieces. Returns false for other sections, and for sections that libbpf
 * refuses. A function is stored as func_name, a pattern as name; a USDT probe has a provider. */
static bool read_section(struct lbpf_target *to, char *text)
{
	char *path = strchr(text, '/'), *name = path ? strchr(path, ':') : NULL, *more;
	size_t i = 0;

	if (!name)
		return false;
	*path++ = *name++ = '\0';
	*to = (struct lbpf_target){ .path = path, .pid = -1 };
	if (strcmp(text, "usdt") == 0)
		return read_provider(to, name);
	while (i < sizeof(kinds) / sizeof(*kinds) && strcmp(text, kinds[i].name) != 0)
		i++;
	if (i == sizeof(kinds) / sizeof(*kinds))
		return false;
	to->retprobe = kinds[i].retprobe;
	to->session = kinds[i].session;
	if (kinds[i].multi) {
		to->name = name;
		return true;
	}
	to->func_name = name;
	more = strchr(name, '+');
	if (more) {
		*more++ = '\0';
		to->offset = strtoul(more, NULL, 0);
	}
	return !to->retprobe || !to->offset;
}

static int attach_by_section(struct lbpf_link *link, const struct lbpf_program *p, const struct lbpf_target *to)
{
	if (to->func_name)
		return attach_uprobe(link, p, to);
	return to->provider || !lbpf_newer_uprobe_multi ? -1 : attach_uprobe_multi(link, p, to);
}

int lbpf_attach_user_section(struct lbpf_link *link, const struct lbpf_program *p)
{
	bool probe = bpf_program__type(p->prog) == BPF_PROG_TYPE_KPROBE;
	char *text = strdup(bpf_program__section_name(p->prog));
	struct lbpf_target to;
	int err = !text ? ENOMEM : probe && read_section(&to, text) ? attach_by_section(link, p, &to) : -1;

	free(text);
	return err;
}

const char *lbpf_attach_user_cause(lua_State *L, const struct lbpf_program *p, int err)
{
	const char *section = bpf_program__section_name(p->prog);
	size_t size = strlen(section) + 1;
	struct lbpf_target to;

	if (bpf_program__type(p->prog) != BPF_PROG_TYPE_KPROBE ||
	    !read_section(&to, memcpy(lua_newuserdatauv(L, size, 0), section, size)))
		return NULL;
	if (to.func_name)
		return uprobe_cause(L, p, &to, err);
	return to.provider ? usdt_cause(L, p, &to, err) : uprobe_multi_cause(L, p, &to, err);
}

/*** Attaches a uprobe or uretprobe program to a function of a program or library.
@function prog:attach_uprobe
@tparam string path of the file, or the name of a program in $PATH or of a library ("libc.so.6")
@tparam string|integer func name of the function, or its offset in the file. If the library has several versions of the
 function, the name alone is the default version; "name@version" is another version.
@tparam ?table options
- pid: the one process, -1 for all (the default), 0 for this one
- retprobe: true runs the program when the function returns
- offset: bytes from the function's start
- ref_ctr_offset: the offset in the file of a semaphore that the kernel counts up while the program is attached
- bpf_cookie: what bpf_get_attach_cookie returns in the program (kernel 5.15)
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOENT (no such file or function), EOPNOTSUPP (the function is chosen when a
 process starts, for example memcpy of the C library; the message says where this process has it), ENOTUNIQ (several
 functions have the name), EINVAL (the place has no code, for example because it is an address), …
@usage
local link = assert(obj.progs.on_function:attach_uprobe("libc.so.6", "getppid", { pid = 0 }))
link:close()
@see bpf_program__attach_uprobe_opts */

/*** Attaches a uprobe.multi program to many functions of a file with one system call.
@function prog:attach_uprobe_multi
@tparam string path of the file
@tparam string|table functions a pattern, a sequence of names, or a sequence of offsets; names are as for
 prog:attach_uprobe
@tparam ?table options
- pid, retprobe: as in prog:attach_uprobe
- session: true runs the program at both ends of a function (libbpf 1.6)
- cookies: a sequence with one cookie for each function listed
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOSYS (libbpf before 1.3), and as for prog:attach_uprobe
@usage not run: it needs libbpf 1.3
local link <close> = assert(obj.progs.on_any:attach_uprobe_multi("libssl.so.3", "SSL_*", { pid = 0 }))
@see bpf_program__attach_uprobe_multi
@since kernel 6.6, libbpf 1.3 */

/*** Attaches a usdt program to a USDT probe of a program or library.
@function prog:attach_usdt
@tparam string path of the file
@tparam string provider of the USDT probe
@tparam string name of the USDT probe
@tparam ?table options
- pid: the one process, -1 for all (the default), 0 for this one
- usdt_cookie: what bpf_usdt_cookie returns in the program
@treturn bpf.link the link
@treturn nil,string,string on failure: ENOENT (no such USDT probe), ESRCH (no such process, or the object doesn't
 include <bpf/usdt.bpf.h>), …
@usage
local link = assert(obj.progs.on_step:attach_usdt("build/support/probed", "lbpf", "step", { usdt_cookie = 7 }))
link:close()
@see bpf_program__attach_usdt */
const struct lbpf_way lbpf_ways_user[] = {
	{ .method = "attach_uprobe",
	  .read = read_uprobe,
	  .options_at = 4,
	  .options = uprobe_options,
	  .attach = attach_uprobe,
	  .cause = uprobe_cause,
	  .types = LBPF_OF(KPROBE) },
	{ .method = "attach_uprobe_multi",
	  .read = read_uprobe_multi,
	  .options_at = 4,
	  .options = uprobe_multi_options,
	  .attach = attach_uprobe_multi,
	  .cause = uprobe_multi_cause,
	  .types = LBPF_OF(KPROBE),
	  .libbpf = "1.3",
	  .symbol = lbpf_newer_uprobe_multi },
	{ .method = "attach_usdt",
	  .read = read_usdt,
	  .options_at = 5,
	  .options = usdt_options,
	  .attach = attach_usdt,
	  .cause = usdt_cause,
	  .types = LBPF_OF(KPROBE) },
	{ .method = NULL },
};
