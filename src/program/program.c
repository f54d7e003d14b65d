/* SPDX-License-Identifier: MIT */
/* Program handles, and what can be set before a program is loaded.
 *
 * A handle of an object's program borrows libbpf's program; the object clears it when it closes. A handle of a program
 * that was opened by pin or id owns its descriptor. A program that a host lends has no object's handle: only closing
 * its own handle clears it. */
#include "program/program.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "base/arg.h"
#include "base/cause.h"
#include "base/err.h"
#include "base/log.h"
#include "base/spare.h"

/* Descriptors of BTF that libbpf opens to search a target, and to probe whether modules have BTF. */
#define DESCRIPTORS 4

static void program_init(void *self)
{
	((struct lbpf_program *)self)->fd = -1;
}

static void program_release(lua_State *L, int idx, void *self)
{
	struct lbpf_program *p = self;
	int fd = p->fd;

	(void)L;
	(void)idx;
	p->fd = -1;
	if (p->alone)
		p->prog = NULL;
	if (fd >= 0 && p->owns_fd)
		close(fd);
}

void lbpf_program_recheck(lua_State *L, const struct lbpf_program *p)
{
	if (!p->prog && p->fd < 0)
		luaL_error(L, p->alone ? "program '%s' is closed" : "program '%s': its object is closed", p->name);
}

struct lbpf_program *lbpf_program_check(lua_State *L, int idx)
{
	struct lbpf_program *p = lbpf_class_check(L, idx, &lbpf_program_class);

	lbpf_program_recheck(L, p);
	if (!p->prog)
		luaL_error(L, "program '%s' was opened by pin or id, and this is known of an object's programs only",
			   p->name);
	return p;
}

struct lbpf_program *lbpf_program_check_loaded(lua_State *L, int idx)
{
	struct lbpf_program *p = lbpf_class_check(L, idx, &lbpf_program_class);

	lbpf_program_recheck(L, p);
	if (lbpf_program_descriptor(p) < 0)
		luaL_error(L, "program '%s' is not loaded%s", p->name,
			   bpf_program__autoload(p->prog) ? "; load its object first" : ", its autoload is off");
	return p;
}

static int program_descriptor(lua_State *L, int idx)
{
	return lbpf_program_descriptor(lbpf_program_check_loaded(L, idx));
}

struct lbpf_program *lbpf_program_push_alone(lua_State *L)
{
	struct lbpf_program *p = lbpf_class_new(L, &lbpf_program_class, sizeof(*p), 1);

	p->alone = true;
	return p;
}

struct lbpf_program *lbpf_program_push(lua_State *L, int owner, struct bpf_program *prog, const struct btf *btf)
{
	struct lbpf_program *p;

	owner = lua_absindex(L, owner);
	p = lbpf_class_new(L, &lbpf_program_class, sizeof(*p), 1);
	p->prog = prog;
	p->btf = btf;
	strncpy(p->name, bpf_program__name(prog), sizeof(p->name) - 1);
	lua_pushvalue(L, owner);
	lua_setiuservalue(L, -2, LBPF_PROGRAM_OWNER);
	return p;
}

int lbpf_program_fail(lua_State *L, const struct lbpf_program *p, int err, const char *operation, struct lbpf_log *log)
{
	const char *last = log ? lbpf_log_push_last(L, log) : NULL, *named;

	if (err < 0)
		err = -err;
	named = last && strncmp(last, "prog '", 6) == 0 ? strstr(last, "': ") : NULL;
	if (named) /* libbpf's message names the program as well */
		last = named + 3;
	if (log && p->prog && (err == EPERM || err == EACCES)) {
		const char *refused = lbpf_refused_attach(L, (uint32_t)bpf_program__type(p->prog));

		last = refused ? refused : last;
	}
	if (!last && err == EPERM)
		last = lbpf_refused(L, "CAP_BPF, CAP_PERFMON or CAP_NET_ADMIN");
	if (!last && err == ENOSYS)
		last = lbpf_no_bpf();
	return lbpf_err_push(L, err, last, "program '%s': %s", p->name, operation);
}

/*** Returns the program's name, which is that of its C function.
@function prog:name
@treturn string
@usage
print(prog:name()) -- on_packet
*/
static int program_name(lua_State *L)
{
	struct lbpf_program *p = lbpf_class_check(L, 1, &lbpf_program_class);

	lua_pushstring(L, p->name);
	return 1;
}

/*** Returns the name of the program's section, from which libbpf takes the program's type and the place to attach it.
@function prog:section
@treturn string such as "tracepoint/sched/sched_process_exec"
@usage
print(prog:section()) -- xdp
@see bpf_program__section_name */
static int program_section(lua_State *L)
{
	lua_pushstring(L, bpf_program__section_name(lbpf_program_check(L, 1)->prog));
	return 1;
}

/*** Returns the program's file descriptor. It belongs to the object or the handle: don't close it.
@function prog:fd
@treturn integer the descriptor; before the object is loaded, an error is raised
@usage
local fd = prog:fd()
@see bpf_program__fd */
static int program_fd(lua_State *L)
{
	lua_pushinteger(L, program_descriptor(L, 1));
	return 1;
}

/* ---- settings from before the load ---- */

int lbpf_program_fail_setting(lua_State *L, const struct lbpf_program *p, int err, const char *what)
{
	return lbpf_err_push(L, err, err == -EINVAL || err == -EBUSY ? "the object is loaded already" : NULL,
			     "program '%s': %s", p->name, what);
}

/*** Returns whether the program is loaded with its object; given a boolean, sets it first.
@function prog:autoload
@tparam ?boolean on only before the object is loaded
@treturn boolean
@treturn nil,string,string on failure: EINVAL once the object is loaded
@usage
opened.progs.shorten:autoload(false)
assert(opened:load()) -- without this program
@see bpf_program__set_autoload */
static int program_autoload(lua_State *L)
{
	struct lbpf_program *p = lbpf_program_check(L, 1);
	int err;

	if (!lua_isnone(L, 2)) {
		luaL_checktype(L, 2, LUA_TBOOLEAN);
		err = bpf_program__set_autoload(p->prog, lua_toboolean(L, 2));
		if (err)
			return lbpf_program_fail_setting(L, p, err, "autoload");
	}
	lua_pushboolean(L, bpf_program__autoload(p->prog));
	return 1;
}

/*** Returns whether object:attach attaches the program; given a boolean, sets it first.
@function prog:autoattach
@tparam ?boolean on
@treturn boolean
@usage
prog:autoattach(false)
@see bpf_program__set_autoattach */
static int program_autoattach(lua_State *L)
{
	struct lbpf_program *p = lbpf_program_check(L, 1);

	if (!lua_isnone(L, 2)) {
		luaL_checktype(L, 2, LUA_TBOOLEAN);
		bpf_program__set_autoattach(p->prog, lua_toboolean(L, 2));
	}
	lua_pushboolean(L, bpf_program__autoattach(p->prog));
	return 1;
}

/*** Returns the level of the verifier's log when the program is loaded; given a level, sets it first. The log of a
program that the verifier accepts goes to the function that was given to bpf.log.
@function prog:log_level
@tparam ?integer level 0: only for a program that the verifier rejects; 1: more; 2: everything; 4: statistics; levels
 may be added up
@treturn integer
@treturn nil,string,string on failure: EBUSY once the object is loaded
@usage
assert(opened.progs.on_packet:log_level(4))
@see bpf_program__set_log_level */
static int program_log_level(lua_State *L)
{
	struct lbpf_program *p = lbpf_program_check(L, 1);
	int err;

	if (!lua_isnone(L, 2)) {
		err = bpf_program__set_log_level(p->prog, (uint32_t)lbpf_arg_int(L, 2, 0, 7));
		if (err)
			return lbpf_program_fail_setting(L, p, err, "log_level");
	}
	lua_pushinteger(L, bpf_program__log_level(p->prog));
	return 1;
}

/* The number of a name in a list of the library; raises for an unknown name. */
static uint32_t number_of_name(lua_State *L, int idx, const char *(*name_of)(uint32_t), const char *what)
{
	const char *name = lbpf_arg_string(L, idx), *known;

	for (uint32_t i = 0; i < 128; i++) {
		known = name_of(i);
		if (known && strcmp(known, name) == 0)
			return i;
	}
	return (uint32_t)luaL_error(L, "%s '%s' is unknown to libbpf %s", what, name, libbpf_version_string());
}

bool lbpf_program_lacks_target(const struct lbpf_program *p)
{
	return p->prog && bpf_program__autoload(p->prog) && bpf_program__type(p->prog) == BPF_PROG_TYPE_EXT &&
		!p->targeted;
}

static bool found_by_btf(enum bpf_prog_type type)
{
	return type == BPF_PROG_TYPE_TRACING || type == BPF_PROG_TYPE_LSM || type == BPF_PROG_TYPE_EXT;
}

/* Whether setting this type would crash libbpf. Before 1.2, libbpf still searches the target that the section names.
 * But whether it has read the kernel's BTF depends on the new type. */
static bool type_is_deadly(const struct bpf_program *prog, enum bpf_prog_type type)
{
	enum bpf_attach_type attach;
	enum bpf_prog_type declared;

	if (libbpf_major_version() > 1 || libbpf_minor_version() >= 2 || found_by_btf(type))
		return false;
	return libbpf_prog_type_by_name(bpf_program__section_name(prog), &declared, &attach) == 0 &&
		found_by_btf(declared);
}

/* Returns 0, or the number of values that were pushed for a failure. */
static int set_type(lua_State *L, const struct lbpf_program *p, enum bpf_prog_type type)
{
	struct lbpf_log *log = lbpf_log_begin(L);
	bool deadly = type_is_deadly(p->prog, type);
	int err;

	lbpf_log_end(log);
	if (deadly)
		return lbpf_err_push(L, EOPNOTSUPP,
				     "its section names a target in BTF; such a program keeps its type before libbpf "
				     "1.2",
				     "program '%s': type", p->name);
	err = bpf_program__set_type(p->prog, type);
	return err ? lbpf_program_fail_setting(L, p, err, "type") : 0;
}

/*** Returns the kernel's name for the program's type; given a name, sets the type first.
@function prog:type
@tparam ?string type such as "raw_tracepoint", "xdp"; only before the object is loaded
@treturn string
@treturn nil,string,string on failure: EBUSY once the object is loaded; EOPNOTSUPP (libbpf before 1.2 can't change the
 type of a program whose section names a target in BTF, such as "fentry/…", "iter/…" or "lsm/…", to one that has no
 such target)
@usage
print(prog:type()) -- xdp
@see bpf_program__set_type */
static int program_type(lua_State *L)
{
	struct lbpf_program *p = lbpf_class_check(L, 1, &lbpf_program_class);
	struct lbpf_program_info info;
	const char *name;
	int err;

	if (!lua_isnone(L, 2)) {
		p = lbpf_program_check(L, 1);
		err = set_type(L, p, (enum bpf_prog_type)number_of_name(L, 2, lbpf_program_type_name, "program type"));
		if (err)
			return err;
	}
	lbpf_program_recheck(L, p);
	if (p->prog) {
		name = lbpf_program_type_name((uint32_t)bpf_program__type(p->prog));
	} else {
		err = lbpf_program_fetch_info(p->fd, &info);
		if (err)
			return lbpf_program_fail(L, p, err, "type", NULL);
		name = lbpf_program_type_name(info.kernel.type);
	}
	lua_pushstring(L, name ? name : "other");
	return 1;
}

const char *lbpf_program_attach_type_name(uint32_t type)
{
	return libbpf_bpf_attach_type_str((enum bpf_attach_type)type);
}

uint32_t lbpf_program_attach_type(lua_State *L, const char *name)
{
	lua_pushstring(L, name);
	return number_of_name(L, lua_gettop(L), lbpf_program_attach_type_name, "attach type");
}

/*** Returns the kernel's name for the program's attach type; given a name, sets the attach type first.
@function prog:expected_attach_type
@tparam ?string type such as "cgroup_inet_ingress", "xdp"; only before the object is loaded
@treturn string
@treturn nil,string,string on failure: EBUSY once the object is loaded
@usage
print(prog:expected_attach_type()) -- xdp
@see bpf_program__set_expected_attach_type */
static int program_expected_attach_type(lua_State *L)
{
	struct lbpf_program *p = lbpf_program_check(L, 1);
	const char *name;
	int err;

	if (!lua_isnone(L, 2)) {
		err = bpf_program__set_expected_attach_type(
			p->prog,
			(enum bpf_attach_type)number_of_name(L, 2, lbpf_program_attach_type_name, "attach type"));
		if (err)
			return lbpf_program_fail_setting(L, p, err, "expected_attach_type");
	}
	name = lbpf_program_attach_type_name((uint32_t)bpf_program__expected_attach_type(p->prog));
	lua_pushstring(L, name ? name : "other");
	return 1;
}

/*** Sets the function that a fentry, fexit, fmod_ret, lsm or freplace program attaches to, if its section names none.
The function is one of the kernel, or of another program.
@function prog:attach_target
@tparam string func name of the function
@tparam ?bpf.prog target the program that has the function; nil for a function of the kernel
@treturn true
@treturn nil,string,string on failure: ENOENT (no such function), EINVAL once the object is loaded
@usage not run: hardened kernels refuse such programs
local obj <close> = assert(bpf.open("trace.bpf.o"))
assert(obj.progs.on_entry:attach_target("vfs_read")) -- SEC("fentry")
assert(obj:load())
@see bpf_program__set_attach_target */
static int program_attach_target(lua_State *L)
{
	/* Converts a number to a string, which may run a finalizer. */
	const char *func = lbpf_arg_string(L, 2);
	int fd = 0, err = lbpf_spare(L, DESCRIPTORS);
	struct lbpf_program *p = lbpf_program_check(L, 1), *target;
	struct lbpf_log *log;

	if (err)
		return lbpf_program_fail(L, p, err, "attach_target", NULL);
	if (!lua_isnoneornil(L, 3)) {
		target = lbpf_program_check_loaded(L, 3);
		fd = lbpf_program_descriptor(target);
	}
	log = lbpf_log_begin(L);
	p->searched |= !fd;
	err = bpf_program__set_attach_target(p->prog, fd, func);
	p->targeted |= !err && fd;
	lbpf_log_end(log);
	if (err)
		err = lbpf_program_fail(L, p, err, "attach_target", log);
	else
		lua_pushboolean(L, 1);
	lbpf_log_deliver(L, log);
	return err ? err : 1;
}

/* ---- what the kernel knows ---- */

int lbpf_program_fetch_info(int fd, struct lbpf_program_info *out)
{
	uint32_t len = sizeof(out->kernel);

	memset(out, 0, sizeof(*out));
	out->kernel.nr_map_ids = LBPF_PROGRAM_MAPS;
	out->kernel.map_ids = (uintptr_t)out->map_ids;
	return bpf_obj_get_info_by_fd(fd, &out->kernel, &len) ? errno : 0;
}

static void push_map_ids(lua_State *L, const struct lbpf_program_info *from)
{
	uint32_t n = from->kernel.nr_map_ids < LBPF_PROGRAM_MAPS ? from->kernel.nr_map_ids : LBPF_PROGRAM_MAPS;

	lua_createtable(L, (int)n, 0);
	for (uint32_t i = 0; i < n; i++) {
		lua_pushinteger(L, from->map_ids[i]);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
}

void lbpf_program_push_info(lua_State *L, const struct lbpf_program_info *from)
{
	const struct bpf_prog_info *info = &from->kernel;
	const char *type = lbpf_program_type_name(info->type);
	char tag[2 * BPF_TAG_SIZE + 1];

	for (int i = 0; i < BPF_TAG_SIZE; i++)
		snprintf(tag + 2 * i, 3, "%02x", info->tag[i]);
	lua_createtable(L, 0, 15);
	lbpf_set_integer(L, "id", info->id);
	lbpf_set_string(L, "type", type ? type : "other");
	if (!type)
		lbpf_set_integer(L, "type_number", info->type);
	lbpf_set_string(L, "name", info->name);
	lbpf_set_string(L, "tag", tag);
	lbpf_set_integer(L, "load_time", (lua_Integer)info->load_time);
	lbpf_set_integer(L, "uid", info->created_by_uid);
	lbpf_set_integer(L, "jited_prog_len", info->jited_prog_len);
	lbpf_set_integer(L, "xlated_prog_len", info->xlated_prog_len);
	lbpf_set_integer(L, "run_time_ns", (lua_Integer)info->run_time_ns);
	lbpf_set_integer(L, "run_cnt", (lua_Integer)info->run_cnt);
	lbpf_set_integer(L, "recursion_misses", (lua_Integer)info->recursion_misses);
	lbpf_set_integer(L, "verified_insns", info->verified_insns);
	lbpf_set_integer(L, "btf_id", info->btf_id);
	push_map_ids(L, from);
	lua_setfield(L, -2, "map_ids");
}

/*** Closes a program that was opened by pin or id. Closing it twice is allowed. A program of an object stays open until
the object is closed.
@function prog:close
@treturn true
@usage
local same = assert(bpf.prog.by_id(prog:info().id))
same:close()
*/
static int program_close(lua_State *L)
{
	return lbpf_class_close(L, &lbpf_program_class);
}

static int program_tostring(lua_State *L)
{
	struct lbpf_program *p = lbpf_class_check(L, 1, &lbpf_program_class);
	const char *type = lbpf_program_type_name(p->type);

	if (!p->prog && p->fd < 0)
		lua_pushfstring(L, "bpf.prog: %s (closed)", p->name);
	else if (!p->prog)
		lua_pushfstring(L, "bpf.prog: %s (%s, fd %d)", p->name, type ? type : "other", p->fd);
	else if (bpf_program__fd(p->prog) < 0)
		lua_pushfstring(L, "bpf.prog: %s (%s, not loaded)", p->name, bpf_program__section_name(p->prog));
	else
		lua_pushfstring(L, "bpf.prog: %s (%s, fd %d)", p->name, bpf_program__section_name(p->prog),
				bpf_program__fd(p->prog));
	return 1;
}

static const luaL_Reg program_methods[] = {
	{ "name", program_name },
	{ "section", program_section },
	{ "type", program_type },
	{ "fd", program_fd },
	{ "autoload", program_autoload },
	{ "autoattach", program_autoattach },
	{ "log_level", program_log_level },
	{ "expected_attach_type", program_expected_attach_type },
	{ "attach_target", program_attach_target },
	{ "close", program_close },
	{ NULL, NULL },
};

static const luaL_Reg program_meta[] = {
	{ "__tostring", program_tostring },
	{ NULL, NULL },
};

const struct lbpf_class lbpf_program_class = {
	.name = "bpf.prog",
	.methods = program_methods,
	.meta = program_meta,
	.init = program_init,
	.release = program_release,
	.descriptor = program_descriptor,
};

void lbpf_program_open(lua_State *L)
{
	lbpf_class_register(L, &lbpf_program_class);
	lua_newtable(L);
	lua_setfield(L, -2, "prog");
}
