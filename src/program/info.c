/* SPDX-License-Identifier: MIT */
/* Information about a program: the kernel's, and what its object declares. */
#include "program/info.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/arg.h"
#include "program/program.h"

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
	{ "info", program_info },
	{ NULL, NULL },
};

void lbpf_proginfo_open(lua_State *L)
{
	lbpf_class_add_methods(L, &lbpf_program_class, program_methods);
}
