/* SPDX-License-Identifier: MIT */
/* The settings that an object declares for its programs: the flags, and what can be read besides the kernel's
 * information. */
#include "program/settings.h"

#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include "base/arg.h"
#include "base/err.h"
#include "program/program.h"

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

/* A copy of what an object declares for its program, because a finalizer may close the object while a table is made. */
struct declared {
	const char *type, *attach; /* names of libbpf, which it never frees */
	uint32_t flags, log_level;
	size_t insn_cnt;
	bool autoload, autoattach;
};

static struct declared read_declared(const struct bpf_program *prog)
{
	return (struct declared){
		.type = lbpf_program_type_name((uint32_t)bpf_program__type(prog)),
		.attach = lbpf_program_attach_type_name((uint32_t)bpf_program__expected_attach_type(prog)),
		.flags = bpf_program__flags(prog),
		.log_level = bpf_program__log_level(prog),
		.insn_cnt = bpf_program__insn_cnt(prog),
		.autoload = bpf_program__autoload(prog),
		.autoattach = bpf_program__autoattach(prog),
	};
}

/* Adds the fields to the table at the top. The section's name is at 2. */
static void add_declared(lua_State *L, const struct declared *d)
{
	lua_pushvalue(L, 2);
	lua_setfield(L, -2, "section_name");
	lbpf_set_string(L, "expected_attach_type", d->attach ? d->attach : "other");
	lbpf_set_integer(L, "flags", d->flags);
	lbpf_set_integer(L, "insn_cnt", (lua_Integer)d->insn_cnt);
	lbpf_set_integer(L, "log_level", d->log_level);
	lua_pushboolean(L, d->autoload);
	lua_setfield(L, -2, "autoload");
	lua_pushboolean(L, d->autoattach);
	lua_setfield(L, -2, "autoattach");
}

/*** Returns what the kernel knows about the program, and what its object declares.

- Of struct bpf_prog_info: id, type, name, tag (hexadecimal), load_time (ns since boot), uid, jited_prog_len and
  xlated_prog_len (bytes), verified_insns, btf_id, and map_ids (a sequence).
- run_time_ns and run_cnt: counted while statistics are on.
- recursion_misses: runs that were left out because the program was running on that CPU already (kernel 5.12).
- type_number: the type's number, if the type has no name; then type is "other".
- Of a program of an object, named as in libbpf: section_name, expected_attach_type, flags (a number), insn_cnt
  (instructions; before the load without those of functions that the program calls), log_level, autoload, autoattach.

Before the load there are only type, name and the fields of the last group.
@function prog:info
@treturn table with these fields
@treturn nil,string,string on failure
@usage
local info = assert(prog:info())
print(info.id, info.name, info.type, info.section_name) -- 12   on_packet   xdp   xdp
@see bpf_obj_get_info_by_fd, bpf_program__insn_cnt */
static int program_info(lua_State *L)
{
	struct lbpf_program *p = lbpf_class_check(L, 1, &lbpf_program_class);
	struct lbpf_program_info info;
	struct declared declared = { 0 };
	int fd, err = 0;

	lbpf_program_recheck(L, p);
	lua_settop(L, 1);
	lua_pushstring(L, p->prog ? bpf_program__section_name(p->prog) : NULL);
	lbpf_program_recheck(L, p);
	if (p->prog)
		declared = read_declared(p->prog);
	fd = lbpf_program_descriptor(p);
	if (fd >= 0)
		err = lbpf_program_fetch_info(fd, &info);
	if (err)
		return lbpf_program_fail(L, p, err, "info", NULL);
	if (fd >= 0) {
		lbpf_program_push_info(L, &info);
	} else {
		lua_createtable(L, 0, 9);
		lbpf_set_string(L, "name", p->name);
		lbpf_set_string(L, "type", declared.type ? declared.type : "other");
	}
	if (!lua_isnil(L, 2))
		add_declared(L, &declared);
	return 1;
}

static const luaL_Reg program_methods[] = {
	{ "flags", program_flags },
	{ "info", program_info },
	{ NULL, NULL },
};

void lbpf_progsettings_open(lua_State *L)
{
	lbpf_class_add_methods(L, &lbpf_program_class, program_methods);
}
