/* SPDX-License-Identifier: MIT */
/* The settings of an object's programs, which can be changed before the load. */
#include "program/settings.h"

#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include "base/arg.h"
#include "base/err.h"
#include "base/log.h"
#include "base/spare.h"
#include "program/program.h"

/* Descriptors of BTF that libbpf opens to search a target, and to probe whether modules have BTF. */
#define DESCRIPTORS 4

int lbpf_program_fail_setting(lua_State *L, const struct lbpf_program *p, int err, const char *what)
{
	return lbpf_err_push(L, err, err == -EINVAL || err == -EBUSY ? "the object is loaded already" : NULL,
			     "program '%s': %s", p->name, what);
}

/* The kernel's names in lower case without BPF_F_; by number if the headers of libbpf 1.1 don't have them. */
static const struct lbpf_name load_flags[] = {
	{ "strict_alignment", BPF_F_STRICT_ALIGNMENT },
	{ "any_alignment", BPF_F_ANY_ALIGNMENT },
	{ "test_rnd_hi32", BPF_F_TEST_RND_HI32 },
	{ "test_state_freq", BPF_F_TEST_STATE_FREQ },
	{ "sleepable", BPF_F_SLEEPABLE },
	{ "xdp_has_frags", BPF_F_XDP_HAS_FRAGS },
	{ "xdp_dev_bound_only", 1 << 6 },
	{ "test_reg_invariants", 1 << 7 },
	{ NULL, 0 },
};

/*** Returns the flags that the program is loaded with, as a number; given flags, sets them first. Flags that the
section names, such as "xdp.frags" or "fentry.s/…", are not among them.
@function prog:flags
@tparam ?string|table|integer flags "sleepable", "xdp_has_frags", "any_alignment", "strict_alignment",
 "test_state_freq", …, a sequence of these names, or their number; only before the object is loaded
@treturn integer the number
@treturn nil,string,string on failure: EBUSY once the object is loaded
@usage
assert(opened.progs.on_packet:flags "xdp_has_frags")
@see bpf_program__set_flags */
static int program_flags(lua_State *L)
{
	struct lbpf_program *p;
	uint64_t flags = 0;
	int err;

	if (lua_type(L, 2) == LUA_TNUMBER)
		flags = (uint64_t)lbpf_arg_int(L, 2, 0, UINT32_MAX);
	else
		flags = lbpf_arg_flags(L, 2, load_flags, NULL);
	p = lbpf_program_check(L, 1);
	if (!lua_isnone(L, 2)) {
		err = bpf_program__set_flags(p->prog, (uint32_t)flags);
		if (err)
			return lbpf_program_fail_setting(L, p, err, "flags");
	}
	lua_pushinteger(L, bpf_program__flags(p->prog));
	return 1;
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

static const luaL_Reg program_methods[] = {
	{ "flags", program_flags },
	{ "type", program_type },
	{ "autoload", program_autoload },
	{ "autoattach", program_autoattach },
	{ "log_level", program_log_level },
	{ "expected_attach_type", program_expected_attach_type },
	{ "attach_target", program_attach_target },
	{ NULL, NULL },
};

void lbpf_progsettings_open(lua_State *L)
{
	lbpf_class_add_methods(L, &lbpf_program_class, program_methods);
}
