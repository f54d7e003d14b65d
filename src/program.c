/* SPDX-License-Identifier: MIT */
/* Programs of an object: what they are, and running them on data of one's own.
 *
 * A handle borrows the object's program; the object clears it when it closes. */
#include "program.h"

#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "arg.h"
#include "err.h"

void lbpf_program_recheck(lua_State *L, const struct lbpf_program *p)
{
	if (!p->prog)
		luaL_error(L, "program '%s': its object is closed", p->name);
}

struct lbpf_program *lbpf_program_check(lua_State *L, int idx)
{
	struct lbpf_program *p = lbpf_class_check(L, idx, &lbpf_program_class);

	lbpf_program_recheck(L, p);
	return p;
}

struct lbpf_program *lbpf_program_check_loaded(lua_State *L, int idx)
{
	struct lbpf_program *p = lbpf_program_check(L, idx);

	if (bpf_program__fd(p->prog) < 0)
		luaL_error(L, "program '%s' is not loaded%s", p->name,
			   bpf_program__autoload(p->prog) ? "; load its object first" : ", its autoload is off");
	return p;
}

struct lbpf_program *lbpf_program_push(lua_State *L, int owner, struct bpf_program *prog)
{
	struct lbpf_program *p;

	owner = lua_absindex(L, owner);
	p = lbpf_class_new(L, &lbpf_program_class, sizeof(*p), 1);
	p->prog = prog;
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
	if (named) /* libbpf names the program as well */
		last = named + 3;
	if (!last && err == EPERM)
		last = "refused; perhaps CAP_BPF, CAP_PERFMON or CAP_NET_ADMIN is missing";
	return lbpf_err_push(L, err, last, "program '%s': %s", p->name, operation);
}

const char *lbpf_program_type_name(uint32_t type)
{
	const char *name = libbpf_bpf_prog_type_str((enum bpf_prog_type)type);

	return name ? name : type == LBPF_PROG_TYPE_NETFILTER ? "netfilter" : NULL;
}

/*** The program's name: the C function's.
@function prog:name
@treturn string */
static int program_name(lua_State *L)
{
	struct lbpf_program *p = lbpf_class_check(L, 1, &lbpf_program_class);

	lua_pushstring(L, p->name);
	return 1;
}

/*** The section the program stands in, which says what it is and where it attaches.
@function prog:section
@treturn string such as "tracepoint/sched/sched_process_exec"
@see bpf_program__section_name */
static int program_section(lua_State *L)
{
	lua_pushstring(L, bpf_program__section_name(lbpf_program_check(L, 1)->prog));
	return 1;
}

/*** The kernel's name for the type of program.
@function prog:type
@treturn string such as "raw_tracepoint", "xdp"
@see bpf_program__type */
static int program_type(lua_State *L)
{
	const char *name = libbpf_bpf_prog_type_str(bpf_program__type(lbpf_program_check(L, 1)->prog));

	lua_pushstring(L, name ? name : "unknown");
	return 1;
}

/*** The program's file descriptor, which stays the object's.
@function prog:fd
@treturn integer fd; raises before the object is loaded
@see bpf_program__fd */
static int program_fd(lua_State *L)
{
	lua_pushinteger(L, bpf_program__fd(lbpf_program_check_loaded(L, 1)->prog));
	return 1;
}

/*** Whether the program is loaded with its object; given a boolean, sets that.
@function prog:autoload
@tparam ?boolean on only before the object is loaded
@treturn boolean
@treturn nil,string,string on failure: EINVAL once the object is loaded
@see bpf_program__set_autoload */
static int program_autoload(lua_State *L)
{
	struct lbpf_program *p = lbpf_program_check(L, 1);
	int err;

	if (!lua_isnone(L, 2)) {
		luaL_checktype(L, 2, LUA_TBOOLEAN);
		err = bpf_program__set_autoload(p->prog, lua_toboolean(L, 2));
		if (err)
			return lbpf_err_push(L, err, err == -EINVAL ? "the object is loaded already" : NULL,
					     "program '%s': autoload", p->name);
	}
	lua_pushboolean(L, bpf_program__autoload(p->prog));
	return 1;
}

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
	lua_createtable(L, 0, 14);
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
	lbpf_set_integer(L, "verified_insns", info->verified_insns);
	lbpf_set_integer(L, "btf_id", info->btf_id);
	push_map_ids(L, from);
	lua_setfield(L, -2, "map_ids");
}

/*** What the kernel knows about the program.
@function prog:info
@treturn table the fields of struct bpf_prog_info: id, type, name, tag (hexadecimal), load_time (ns since boot), uid,
 jited_prog_len, xlated_prog_len (bytes), run_time_ns and run_cnt (while statistics are on), verified_insns, btf_id,
 map_ids (a sequence); and type_number for a type without a name, "other"
@treturn nil,string,string on failure
@see bpf_obj_get_info_by_fd */
static int program_info(lua_State *L)
{
	struct lbpf_program *p = lbpf_program_check_loaded(L, 1);
	struct lbpf_program_info info;
	int err = lbpf_program_fetch_info(bpf_program__fd(p->prog), &info);

	if (err)
		return lbpf_program_fail(L, p, err, "info", NULL);
	lbpf_program_push_info(L, &info);
	return 1;
}

struct run {
	const char *data, *ctx;
	uint32_t repeat_, flags, cpu;
};

static const struct lbpf_option run_options[] = {
	{ "data", LBPF_OPT_STRING, offsetof(struct run, data) },
	{ "ctx", LBPF_OPT_STRING, offsetof(struct run, ctx) },
	{ "repeat_", LBPF_OPT_U32, offsetof(struct run, repeat_) },
	{ "flags", LBPF_OPT_U32, offsetof(struct run, flags) },
	{ "cpu", LBPF_OPT_U32, offsetof(struct run, cpu) },
	{ NULL, LBPF_OPT_OTHER, 0 },
};

/* Pushes a copy of the string option `name` in memory that the kernel may write to; room bytes are added. */
static void *run_buffer(lua_State *L, const char *name, size_t room, uint32_t *len)
{
	const char *s;
	size_t size;
	void *buf;

	if (lua_getfield(L, 2, name) != LUA_TSTRING) {
		*len = 0;
		return NULL;
	}
	s = lua_tolstring(L, -1, &size);
	buf = lua_newuserdatauv(L, size + room, 0);
	memset(buf, 0, size + room);
	memcpy(buf, s, size);
	*len = (uint32_t)size;
	return buf;
}

/* Syscall programs write to the very context they are given; tracepoint arguments don't come back. */
static bool copies_context(enum bpf_prog_type type)
{
	return type != BPF_PROG_TYPE_SYSCALL && type != BPF_PROG_TYPE_RAW_TRACEPOINT &&
		type != BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE;
}

/*** Runs the program in the kernel on data of your own.
@function prog:run
@tparam ?table options
- data: the packet, a string; what the kernel demands depends on the type (14 bytes at least for xdp)
- ctx: the context, a string of bytes
- repeat_: how often to run it; 1 by default
- flags, cpu: as BPF_PROG_TEST_RUN takes them
@treturn table `{ retval =, data =, ctx =, duration = }`: the return value, the packet and context afterwards where they
 were given, and nanoseconds for one run
@treturn nil,string,string on failure: EINVAL, ENOTSUPP (this type can't be run), …
@see bpf_prog_test_run_opts */
static int program_run(lua_State *L)
{
	struct lbpf_program *p = lbpf_program_check_loaded(L, 1);
	struct run run = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, opts);

	lua_settop(L, 2);
	if (lua_isnil(L, 2)) {
		lua_newtable(L);
		lua_replace(L, 2);
	}
	lbpf_arg_options(L, 2, run_options, &run, "run");
	opts.data_in = run_buffer(L, "data", 0, &opts.data_size_in);
	opts.ctx_in = run_buffer(L, "ctx", 0, &opts.ctx_size_in);
	if (opts.data_in) {
		opts.data_size_out = opts.data_size_in + 512; /* programs may grow a packet */
		opts.data_out = lua_newuserdatauv(L, opts.data_size_out, 0);
	}
	lbpf_program_recheck(L, p);
	if (opts.ctx_in && copies_context(bpf_program__type(p->prog))) {
		opts.ctx_size_out = opts.ctx_size_in;
		opts.ctx_out = lua_newuserdatauv(L, opts.ctx_size_out, 0);
	}
	lbpf_program_recheck(L, p);
	opts.repeat = (int)run.repeat_;
	opts.flags = run.flags;
	opts.cpu = run.cpu;
	if (bpf_prog_test_run_opts(bpf_program__fd(p->prog), &opts))
		return lbpf_program_fail(L, p, errno, "run", NULL);
	lua_createtable(L, 0, 4);
	lbpf_set_integer(L, "retval", opts.retval);
	lbpf_set_integer(L, "duration", opts.duration);
	if (opts.data_out) {
		lua_pushlstring(L, opts.data_out, opts.data_size_out);
		lua_setfield(L, -2, "data");
	}
	if (opts.ctx_in) {
		if (opts.ctx_out)
			lua_pushlstring(L, opts.ctx_out, opts.ctx_size_out);
		else
			lua_pushlstring(L, opts.ctx_in, opts.ctx_size_in);
		lua_setfield(L, -2, "ctx");
	}
	return 1;
}

static int program_tostring(lua_State *L)
{
	struct lbpf_program *p = lbpf_class_check(L, 1, &lbpf_program_class);

	if (!p->prog)
		lua_pushfstring(L, "bpf.prog: %s (closed)", p->name);
	else if (bpf_program__fd(p->prog) < 0)
		lua_pushfstring(L, "bpf.prog: %s (%s, not loaded)", p->name, bpf_program__section_name(p->prog));
	else
		lua_pushfstring(L, "bpf.prog: %s (%s, fd %d)", p->name, bpf_program__section_name(p->prog),
				bpf_program__fd(p->prog));
	return 1;
}

static const luaL_Reg program_methods[] = {
	{ "name", program_name },	  { "section", program_section },
	{ "type", program_type },	  { "fd", program_fd },
	{ "autoload", program_autoload }, { "info", program_info },
	{ "run", program_run },		  { NULL, NULL },
};

static const luaL_Reg program_meta[] = {
	{ "__tostring", program_tostring },
	{ NULL, NULL },
};

const struct lbpf_class lbpf_program_class = {
	.name = "bpf.prog",
	.methods = program_methods,
	.meta = program_meta,
};

void lbpf_program_open(lua_State *L)
{
	lbpf_class_register(L, &lbpf_program_class);
}
