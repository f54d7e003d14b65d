/* SPDX-License-Identifier: MIT */
/* Running programs on data that the script gives, and statistics of all runs. */
#include "program/run.h"

#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <linux/bpf.h>

#include <lauxlib.h>

#include "base/arg.h"
#include "base/cause.h"
#include "base/err.h"
#include "base/log.h"
#include "btf/btf.h"
#include "btf/compile.h"
#include "program/program.h"
#include "value/codec.h"

#define GROWTH 65536 /* bytes that a program may add to a packet */

#define LIVE_FRAMES (1u << 1) /* BPF_F_TEST_XDP_LIVE_FRAMES, kernel 5.18 */

struct run {
	uint32_t repeat_, cpu, batch_size;
};

static const struct lbpf_option run_options[] = {
	{ "data", LBPF_OPT_BYTES, 0 },
	{ "ctx", LBPF_OPT_OTHER, 0 },
	{ "ctx_type", LBPF_OPT_OTHER, 0 },
	{ "repeat_", LBPF_OPT_U32, offsetof(struct run, repeat_) },
	{ "flags", LBPF_OPT_OTHER, 0 },
	{ "cpu", LBPF_OPT_U32, offsetof(struct run, cpu) },
	{ "batch_size", LBPF_OPT_U32, offsetof(struct run, batch_size) },
	{ NULL, LBPF_OPT_OTHER, 0 },
};

static const struct lbpf_name flag_names[] = {
	{ "run_on_cpu", BPF_F_TEST_RUN_ON_CPU },
	{ "xdp_live_frames", LIVE_FRAMES },
	{ "skb_checksum_complete", 1 << 2 },
	{ NULL, 0 },
};

/* Stack of program_run: the program, the options, the context's type or nil, the context that the script gave. */
enum { RUN_PROG = 1, RUN_OPTIONS, RUN_TYPE, RUN_CONTEXT };

/* Pushes a copy of a string, followed by `room` bytes, in memory that the kernel may write to. */
static void *copy_string(lua_State *L, int idx, size_t room, uint32_t *len)
{
	size_t size;
	const char *s = lua_tolstring(L, idx, &size);
	void *buf = lua_newuserdatauv(L, size + room, 0);

	memset(buf, 0, size + room);
	memcpy(buf, s, size);
	*len = (uint32_t)size;
	return buf;
}

/* ---- the context ---- */

/* The struct that a function's first parameter points to; 0 if the BTF doesn't tell. */
static uint32_t parameter_type(const struct btf *btf, uint32_t function)
{
	const struct btf_type *t = btf__type_by_id(btf, function);
	uint32_t at;

	t = t && btf_is_func(t) ? btf__type_by_id(btf, t->type) : NULL;
	if (!t || !btf_is_func_proto(t) || btf_vlen(t) < 1)
		return 0;
	at = btf_params(t)[0].type;
	for (int depth = 0; depth < 8 && (t = btf__type_by_id(btf, at)); depth++) {
		if (btf_is_composite(t))
			return at;
		if (!btf_is_mod(t) && !btf_is_typedef(t) && !btf_is_ptr(t))
			return 0;
		at = t->type;
	}
	return 0;
}

/* The program's BTF, and the program's function in it; 0 if the BTF doesn't tell. */
struct own {
	struct btf *btf; /* NULL: there is none, or it can't be read, for which `err` is the reason */
	uint32_t function;
	int err; /* the errno, or 0 */
};

/* Reads the BTF of an opened program into the handle. */
static struct own read_opened(lua_State *L, const struct lbpf_program *p, struct lbpf_btf *handle)
{
	struct bpf_func_info first = { 0 }; /* the program itself; functions that it calls follow */
	struct bpf_prog_info info = { .nr_func_info = 1,
				      .func_info_rec_size = sizeof(first),
				      .func_info = (uintptr_t)&first };
	uint32_t len = sizeof(info);
	struct lbpf_log *log;

	if (bpf_obj_get_info_by_fd(p->fd, &info, &len))
		return (struct own){ .err = errno };
	if (!info.btf_id)
		return (struct own){ NULL, 0, 0 };
	log = lbpf_log_begin(L);
	handle->btf = btf__load_from_kernel_by_id(info.btf_id);
	len = handle->btf ? 0 : (uint32_t)errno;
	lbpf_log_end(log);
	return (struct own){ handle->btf, first.type_id, (int)len };
}

/* The BTF of an opened program is stored in a new handle, which is pushed. */
static struct own push_own(lua_State *L, const struct lbpf_program *p)
{
	struct lbpf_btf *handle = lbpf_btf_new(L);
	int id;

	if (!p->prog)
		return read_opened(L, p, handle);
	id = p->btf ? btf__find_by_name_kind(p->btf, p->name, BTF_KIND_FUNC) : 0;
	return (struct own){ (struct btf *)(uintptr_t)p->btf, id > 0 ? (uint32_t)id : 0, 0 };
}

/* Pushes the type of the context. The arguments are the program, and the value that names the type or nil. Without a
 * type, returns the errno with which the program's BTF could not be read, or 0 if the BTF doesn't tell. No finalizer
 * may free an object's BTF while it is compiled. Names are looked up in the program's own types first. */
static int compile_context(lua_State *L)
{
	struct own own = push_own(L, lua_touserdata(L, 1));
	uint32_t id = own.btf && own.function ? parameter_type(own.btf, own.function) : 0;

	if (!lua_isnil(L, 2) && (!own.err || own.err == EPERM))
		lbpf_btf_spec(L, 2, own.btf, "ctx_type");
	else if (id)
		lbpf_btf_compile(L, own.btf, id);
	else
		lua_pushinteger(L, own.err);
	return 1;
}

/* Stores the type of the context table at RUN_TYPE. Returns 0, or the errno with which the program's BTF could not be
 * read. */
static int find_context_type(lua_State *L)
{
	int err;

	lua_pushcfunction(L, compile_context);
	lua_pushvalue(L, RUN_PROG);
	lua_getfield(L, RUN_OPTIONS, "ctx_type");
	lbpf_call_undisturbed(L, 2, 1);
	lua_replace(L, RUN_TYPE);
	if (lua_isuserdata(L, RUN_TYPE))
		return 0;
	err = (int)lua_tointeger(L, RUN_TYPE);
	if (!err || err == EPERM)
		luaL_error(L, "run: %s; give option 'ctx_type', or bytes",
			   err ? "what the program's context is can't be read from its BTF, which takes "
				 "CAP_SYS_ADMIN of a program that was opened"
			       : "the program's BTF doesn't tell what its context is");
	return err;
}

/* Arguments of a raw tracepoint: a sequence of 64-bit integers. */
static void *context_of_arguments(lua_State *L, int idx, uint32_t *len)
{
	lua_Integer n = (lua_Integer)lua_rawlen(L, idx);
	uint64_t *buf;

	luaL_argcheck(L, n <= 12, RUN_OPTIONS, "'ctx': a tracepoint has 12 arguments at most");
	buf = lua_newuserdatauv(L, (size_t)n * sizeof(*buf) + 1, 0);
	for (lua_Integer i = 0; i < n; i++) {
		int is_int;

		lua_rawgeti(L, idx, i + 1);
		buf[i] = (uint64_t)lua_tointegerx(L, -1, &is_int);
		if (!is_int || lua_type(L, -1) != LUA_TNUMBER)
			luaL_error(L, "run: option 'ctx': integers expected, argument %I is a %s", (LUAI_UACINT)i + 1,
				   luaL_typename(L, -1));
		lua_pop(L, 1);
	}
	*len = (uint32_t)((size_t)n * sizeof(*buf));
	return buf;
}

static bool takes_arguments(enum bpf_prog_type type)
{
	return type == BPF_PROG_TYPE_RAW_TRACEPOINT || type == BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE;
}

/* Pushes the memory of the option ctx: a string's bytes, or a table encoded by its type. */
static void *run_context(lua_State *L, enum bpf_prog_type type, uint32_t *len)
{
	const struct lbpf_type *ctx;
	void *buf;

	switch (lua_type(L, RUN_CONTEXT)) {
	case LUA_TNIL:
		*len = 0;
		return NULL;
	case LUA_TSTRING:
		return copy_string(L, RUN_CONTEXT, 0, len);
	case LUA_TTABLE:
		break;
	default:
		luaL_error(L, "run: option 'ctx' must be a string or a table, got %s", luaL_typename(L, RUN_CONTEXT));
	}
	if (takes_arguments(type))
		return context_of_arguments(L, RUN_CONTEXT, len);
	ctx = lua_touserdata(L, RUN_TYPE);
	buf = lua_newuserdatauv(L, ctx->size + 1, 0);
	lbpf_encode(L, ctx, RUN_CONTEXT, buf, "ctx");
	*len = ctx->size;
	return buf;
}

/* Pushes the context after the run, in the form in which the script gave it. */
static void push_context(lua_State *L, const void *ctx, uint32_t len)
{
	const struct lbpf_type *type = lua_touserdata(L, RUN_TYPE);

	if (type && len >= type->size)
		lbpf_decode(L, type, ctx, type->size);
	else
		lua_pushlstring(L, ctx, len);
}

/* ---- running ---- */

/* Syscall programs write to the context that they get. Arguments of tracepoints are not returned. */
static bool copies_context(enum bpf_prog_type type)
{
	return type != BPF_PROG_TYPE_SYSCALL && !takes_arguments(type);
}

/* Reads the flags, by name or as a number. A raw tracepoint's program runs on the CPU that is given, if the kernel gets
 * the flag for it. Other programs can't be run on a given CPU. */
static uint32_t run_flags(lua_State *L, enum bpf_prog_type type)
{
	bool on_cpu = takes_arguments(type) && lua_getfield(L, RUN_OPTIONS, "cpu") != LUA_TNIL;
	uint32_t flags;

	if (lua_getfield(L, RUN_OPTIONS, "flags") == LUA_TNUMBER) {
		int is_int;
		lua_Integer n = lua_tointegerx(L, -1, &is_int);

		if (!is_int || n < 0 || n > UINT32_MAX)
			luaL_error(L, "run: option 'flags' must be names or an integer from 0 to 4294967295, got %s",
				   lbpf_arg_show(L, -1));
		flags = (uint32_t)n;
	} else {
		flags = (uint32_t)lbpf_arg_flags(L, lua_gettop(L), flag_names, NULL);
	}
	return flags | (on_cpu ? BPF_F_TEST_RUN_ON_CPU : 0);
}

/* The type of the program. For an opened program it is in the kernel's information. */
static enum bpf_prog_type type_of(const struct lbpf_program *p)
{
	struct lbpf_program_info info;

	if (p->prog)
		return bpf_program__type(p->prog);
	return lbpf_program_fetch_info(p->fd, &info) ? BPF_PROG_TYPE_UNSPEC : (enum bpf_prog_type)info.kernel.type;
}

static void push_result(lua_State *L, const struct bpf_test_run_opts *opts)
{
	lua_createtable(L, 0, 4);
	/* An int in C, for example TC_ACT_UNSPEC, which is -1. */
	lbpf_set_integer(L, "retval", (int32_t)opts->retval);
	lbpf_set_integer(L, "duration", opts->duration);
	if (opts->data_out) {
		lua_pushlstring(L, opts->data_out, opts->data_size_out);
		lua_setfield(L, -2, "data");
	}
	if (opts->ctx_in && !(opts->flags & LIVE_FRAMES)) {
		if (opts->ctx_out)
			push_context(L, opts->ctx_out, opts->ctx_size_out);
		else
			push_context(L, opts->ctx_in, opts->ctx_size_in);
		lua_setfield(L, -2, "ctx");
	}
}

static const char *run_cause(int err)
{
	switch (err) {
	case ENOTSUPP:
		return "the kernel can't run programs of this type on data";
	case EINVAL:
		return "the kernel refused data, context or flags: xdp and tc want 14 bytes of data at least, a "
		       "context's members that the type doesn't take must be zero, …";
	default:
		return NULL;
	}
}

/*** Runs the program in the kernel on data that the script gives, without attaching it.
@function prog:run
@tparam ?table options
- data: the packet, a string; what the kernel demands depends on the type (for xdp at least 14 bytes)
- ctx: the context: bytes, or a table of the members of the struct that the program's first parameter points to; for a
  raw_tp program a sequence of arguments
- ctx_type: the context's C type, if the program's BTF doesn't tell it or can't be read; reading the BTF of a program
  opened by pin or id takes CAP_SYS_ADMIN
- repeat_: how many times to run it; 1 by default
- cpu: the CPU where a raw_tp program runs, from 0; by default the current one
- flags: "xdp_live_frames" (kernel 5.18: the frames go where the program says, and neither the frames nor the context
  are returned), "run_on_cpu", "skb_checksum_complete", a sequence of these names, or the number that BPF_PROG_TEST_RUN
  takes
- batch_size: how many live frames make up a batch
@treturn table `{ retval =, data =, ctx =, duration = }`: the return value, signed as in C; the packet and the context
 after the run, if they were given; and the nanoseconds that one run took
@treturn nil,string,string on failure: EINVAL, ENOTSUPP (programs of this type can't be run), ENXIO (no such CPU), …
@usage
local result = assert(prog:run { data = "\x11" .. ("\0"):rep(63), repeat_ = 1000 }) -- prog is an xdp program
print(result.retval, #result.data)  -- 2   64: XDP_PASS, and the packet after the run
print(result.duration)              -- nanoseconds for one run
@see bpf_prog_test_run_opts */
static int program_run(lua_State *L)
{
	struct lbpf_program *p = lbpf_program_check_loaded(L, RUN_PROG);
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	struct run run = { 0 };
	struct lbpf_log *log;
	enum bpf_prog_type type;
	uint32_t flags;
	bool comes_back;
	int err;

	lua_settop(L, RUN_OPTIONS);
	if (lua_isnil(L, RUN_OPTIONS)) {
		lua_newtable(L);
		lua_replace(L, RUN_OPTIONS);
	}
	lua_pushnil(L);
	lbpf_arg_options(L, RUN_OPTIONS, run_options, &run, "run");
	lua_getfield(L, RUN_OPTIONS, "ctx");
	type = type_of(p);
	flags = run_flags(L, type);
	err = lua_istable(L, RUN_CONTEXT) && !takes_arguments(type) ? find_context_type(L) : 0;
	if (err)
		return lbpf_err_push(L, err, NULL, "program '%s': run: its BTF", p->name);
	/* Live frames are sent where the program says, and not returned. */
	comes_back = !(flags & LIVE_FRAMES);
	if (lua_getfield(L, RUN_OPTIONS, "data") == LUA_TSTRING) {
		opts.data_in = copy_string(L, lua_gettop(L), 0, &opts.data_size_in);
		if (comes_back) {
			opts.data_size_out = opts.data_size_in + GROWTH;
			opts.data_out = lua_newuserdatauv(L, opts.data_size_out, 0);
		}
	}
	opts.ctx_in = run_context(L, type, &opts.ctx_size_in);
	if (opts.ctx_in && comes_back && copies_context(type)) {
		opts.ctx_size_out = opts.ctx_size_in;
		opts.ctx_out = lua_newuserdatauv(L, opts.ctx_size_out + 1, 0);
	}
	lbpf_program_recheck(L, p);
	opts.repeat = (int)run.repeat_;
	opts.flags = flags;
	opts.cpu = run.cpu;
	opts.batch_size = run.batch_size;
	log = lbpf_log_begin(L);
	err = bpf_prog_test_run_opts(lbpf_program_descriptor(p), &opts) ? errno : 0;
	lbpf_log_end(log);
	if (err)
		return lbpf_err_push(L, err, run_cause(err), "program '%s': run", p->name);
	push_result(L, &opts);
	return 1;
}

/* ---- statistics ---- */

static const struct lbpf_class stats_class;

/*** Ends the counting of runs, unless another process has it on.
@function stats:close
@treturn true
@usage
local stats = assert(bpf.enable_stats())
stats:close()
*/
static int stats_close(lua_State *L)
{
	return lbpf_class_close(L, &stats_class);
}

static int stats_tostring(lua_State *L)
{
	struct lbpf_holder *s = lbpf_class_check(L, 1, &stats_class);

	lua_pushstring(L, s->fd < 0 ? "bpf.stats: (closed)" : "bpf.stats: run time");
	return 1;
}

/*** Makes the kernel count the runs of all programs and their time, until the handle is closed or collected. The counts
are the fields run_cnt and run_time_ns of `prog:info()` and `bpf.progs()`. Counting costs about 20 ns a run.
@function bpf.enable_stats
@treturn bpf.stats the handle
@treturn nil,string,string on failure: EPERM (no CAP_SYS_ADMIN), EINVAL
@usage
local stats <close> = assert(bpf.enable_stats())
for info in assert(bpf.progs()) do
  print(info.name, info.run_cnt, info.run_time_ns)
end
@see bpf_enable_stats
@since kernel 5.8 */
static int enable_stats(lua_State *L)
{
	struct lbpf_holder *s = lbpf_class_new(L, &stats_class, sizeof(*s), 0);

	s->fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
	if (s->fd < 0)
		return lbpf_err_push(L, errno, errno == EPERM ? lbpf_refused(L, "CAP_SYS_ADMIN") : NULL,
				     "enable_stats");
	return 1;
}

static const luaL_Reg stats_methods[] = {
	{ "close", stats_close },
	{ NULL, NULL },
};

static const luaL_Reg stats_meta[] = {
	{ "__tostring", stats_tostring },
	{ NULL, NULL },
};

static const struct lbpf_class stats_class = {
	.name = "bpf.stats",
	.descriptors = 4,
	.methods = stats_methods,
	.meta = stats_meta,
	.init = lbpf_holder_init,
	.release = lbpf_holder_release,
};

static const luaL_Reg methods[] = {
	{ "run", program_run },
	{ NULL, NULL },
};

void lbpf_progrun_open(lua_State *L)
{
	lbpf_class_add_methods(L, &lbpf_program_class, methods);
	lbpf_class_register(L, &stats_class);
	lua_pushcfunction(L, enable_stats);
	lua_setfield(L, -2, "enable_stats");
}
