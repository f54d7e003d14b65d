/* SPDX-License-Identifier: MIT */
/* Program handles.
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

#include "base/cause.h"
#include "base/err.h"
#include "base/log.h"

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

/* Closes the object of a program that owns it. */
static void close_owned(lua_State *L, int idx, const struct lbpf_program *p)
{
	struct lbpf_head *object;

	if (!p->owns)
		return;
	lua_getiuservalue(L, idx, LBPF_PROGRAM_OWNER);
	object = lua_touserdata(L, -1);
	if (object && object->cls && object->cls->release)
		object->cls->release(L, lua_gettop(L), object);
	lua_pop(L, 1);
}

/*** Closes a program that was opened by pin or id, or that owns its object, as those of [bpf.program](#bpfprogram) do.
Closing it twice is allowed. Another program of an object stays open until the object is closed.
@function prog:close
@treturn true
@usage
local same = assert(bpf.prog.by_id(prog:info().id))
same:close()
*/
static int program_close(lua_State *L)
{
	close_owned(L, 1, lbpf_class_check(L, 1, &lbpf_program_class));
	return lbpf_class_close(L, &lbpf_program_class);
}

static int program_leave(lua_State *L)
{
	struct lbpf_program *p = lbpf_class_test(L, 1, &lbpf_program_class);

	if (!p)
		return 0;
	close_owned(L, 1, p);
	program_release(L, 1, p);
	return 0;
}

/*** Makes a program the owner of its object: `prog:close()` and `<close>` then close the object as well. The programs
of bpf.program are such owners.
@function bpf.prog.own
@tparam bpf.prog prog a program of an object
@treturn bpf.prog the program
@usage
local obj = assert(bpf.load("build/progs/events.bpf.o"))
local send <close> = bpf.prog.own(obj.progs.send) -- closes obj as well
*/
static int program_own(lua_State *L)
{
	lbpf_program_check(L, 1)->owns = true;
	lua_settop(L, 1);
	return 1;
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
	{ "name", program_name }, { "section", program_section }, { "fd", program_fd }, { "close", program_close },
	{ NULL, NULL },
};

static const luaL_Reg program_meta[] = {
	{ "__tostring", program_tostring },
	{ "__close", program_leave },
	{ NULL, NULL },
};

static const luaL_Reg program_functions[] = {
	{ "own", program_own },
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
	luaL_newlib(L, program_functions);
	lua_setfield(L, -2, "prog");
}
