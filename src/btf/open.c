/* SPDX-License-Identifier: MIT */
/* Opening BTF: of the kernel, its modules, files, C text and objects. And the class of the handles.
 *
 * The kernel's BTF is read once and never closed. Handles that scripts get, and the BTF of modules, which refers to it,
 * keep it alive. BTF of a file is checked before libbpf gets it. */
#define _GNU_SOURCE
#include "btf/open.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/arg.h"
#include "base/cause.h"
#include "base/err.h"
#include "base/log.h"
#include "btf/compile.h"
#include "btf/dump.h"
#include "btf/file.h"
#include "btf/info.h"
#include "cdecl/cdecl.h"

/* ---- sources ---- */

static void set_name(struct lbpf_btf *handle, const char *name)
{
	strncpy(handle->name, name, sizeof(handle->name) - 1);
}

struct lbpf_btf *lbpf_btf_push_borrowed(lua_State *L, struct btf *btf, int owner, const char *name)
{
	struct lbpf_btf *handle;

	owner = lua_absindex(L, owner);
	handle = lbpf_btf_new(L);
	handle->borrowed = true;
	lua_pushvalue(L, owner);
	lua_setiuservalue(L, -2, 1);
	set_name(handle, name);
	handle->btf = btf;
	return handle;
}

static int kernel_fail(lua_State *L, int err)
{
	return lbpf_err_push(L, err, lbpf_no_kernel_btf(), "BTF of the kernel");
}

/*** Returns the running kernel's BTF. The first use reads it; after that, it stays in memory.
@function bpf.btf.kernel
@treturn bpf.btf a handle
@treturn nil,string,string on failure: ENOENT, ESRCH (the kernel was built without CONFIG_DEBUG_INFO_BTF)
@usage
local btf <close> = assert(bpf.btf.kernel())
print(btf:find("struct task_struct").size)
@see btf__load_vmlinux_btf */
static int btf_kernel(lua_State *L)
{
	struct btf *btf = lbpf_btf_push_kernel(L);

	if (!btf)
		return kernel_fail(L, errno);
	lbpf_btf_push_borrowed(L, btf, -1, "the kernel");
	return 1;
}

/*** Returns the BTF of a loaded kernel module. Its types refer to the kernel's, which can be found in it as well.
@function bpf.btf.module
@tparam string name of the module, such as "nf_conntrack"
@treturn bpf.btf a handle
@treturn nil,string,string on failure: ENOENT (no such module, or it has no BTF)
@usage not run: the module may not be loaded
local btf <close> = assert(bpf.btf.module "nf_conntrack")
for t in btf:types "struct" do print(t.name) end
@see btf__load_module_btf
@since kernel 5.11 */
static int btf_module(lua_State *L)
{
	const char *name = lbpf_arg_string(L, 1);
	struct lbpf_btf *handle;
	struct lbpf_log *log;
	struct btf *kernel;
	int err = 0;

	luaL_argcheck(L, *name && !strchr(name, '/') && strcmp(name, "vmlinux") != 0, 1, "a module's name expected");
	lua_settop(L, 1);
	kernel = lbpf_btf_push_kernel(L);
	if (!kernel)
		return kernel_fail(L, errno);
	handle = lbpf_btf_new(L);
	lua_pushvalue(L, 2);
	lua_setiuservalue(L, -2, 1);
	set_name(handle, name);
	log = lbpf_log_begin(L);
	handle->btf = btf__load_module_btf(name, kernel);
	if (!handle->btf)
		err = errno;
	lbpf_log_end(log);
	return err ? lbpf_err_push(L, err, NULL, "BTF of module '%s'", name) : 1;
}

/* What BTF with an id is: of the kernel, of a module, or of anything else. */
enum whose { OF_KERNEL, OF_MODULE, OF_OTHERS };

/* Returns 0 or an errno. */
static int find_whose(uint32_t id, enum whose *whose)
{
	char name[64] = "";
	struct bpf_btf_info info = { .name = (uintptr_t)name, .name_len = sizeof(name) };
	uint32_t len = sizeof(info);
	int fd = bpf_btf_get_fd_by_id(id), err;

	if (fd < 0)
		return errno;
	err = bpf_obj_get_info_by_fd(fd, &info, &len) ? errno : 0;
	close(fd);
	*whose = !info.kernel_btf ? OF_OTHERS : strcmp(name, "vmlinux") != 0 ? OF_MODULE : OF_KERNEL;
	return err;
}

static int by_id_fail(lua_State *L, int err, uint32_t id)
{
	const char *cause = err == ENOENT ? "no such BTF" : err == EPERM ? lbpf_refused(L, "CAP_SYS_ADMIN") : NULL;

	return lbpf_err_push(L, err, cause, "btf.by_id %I", (LUAI_UACINT)id);
}

/*** Returns the BTF that has an id in the kernel: that of a map, a program, a module or the kernel.
@function bpf.btf.by_id
@tparam integer id as in `btf_id` of `bpf.map.info(m)` and `prog:info()`
@treturn bpf.btf a handle
@treturn nil,string,string on failure: ENOENT (no such BTF), EPERM (no CAP_SYS_ADMIN)
@usage
local m <close> = assert(bpf.map.create { type = "array", max_entries = 1, value = "struct hit { __u64 count; }" })
local btf <close> = assert(bpf.btf.by_id(bpf.map.info(m).btf_id))
print(btf:print "struct hit")
@see btf__load_from_kernel_by_id_split */
static int btf_by_id(lua_State *L)
{
	uint32_t id = (uint32_t)lbpf_arg_int(L, 1, 0, UINT32_MAX);
	struct btf *kernel = NULL;
	struct lbpf_btf *handle;
	struct lbpf_log *log;
	enum whose whose = OF_OTHERS;
	int err = find_whose(id, &whose);

	if (err)
		return by_id_fail(L, err, id);
	lua_settop(L, 1);
	if (whose != OF_OTHERS) {
		kernel = lbpf_btf_push_kernel(L);
		if (!kernel)
			return kernel_fail(L, errno);
		if (whose == OF_KERNEL) {
			lbpf_btf_push_borrowed(L, kernel, -1, "the kernel");
			return 1;
		}
	}
	handle = lbpf_btf_new(L);
	if (kernel) {
		lua_pushvalue(L, 2);
		lua_setiuservalue(L, -2, 1);
	}
	snprintf(handle->name, sizeof(handle->name), "id %u", id);
	log = lbpf_log_begin(L);
	handle->btf = btf__load_from_kernel_by_id_split(id, kernel);
	if (!handle->btf)
		err = errno;
	lbpf_log_end(log);
	return err ? by_id_fail(L, err, id) : 1;
}

/* Pushes the handle of option `base`, or nil, and returns it. */
static struct lbpf_btf *push_base(lua_State *L, int options)
{
	static const struct lbpf_option rows[] = {
		{ "base", LBPF_OPT_OTHER, 0 },
		{ NULL, LBPF_OPT_OTHER, 0 },
	};
	struct lbpf_btf *base;

	lbpf_arg_options(L, options, rows, NULL, "btf.file");
	if (!lua_istable(L, options) || lua_getfield(L, options, "base") == LUA_TNIL) {
		lua_pushnil(L);
		return NULL;
	}
	base = lbpf_class_test(L, -1, &lbpf_btf_class);
	if (!base) {
		luaL_error(L, "btf.file: option 'base' must be a bpf.btf, got %s", luaL_typename(L, -1));
		return NULL;
	}
	return base;
}

/* Makes the handle at the top keep the BTF of its base, whose handle is below it, and returns that BTF. */
static struct btf *use_base(lua_State *L, struct lbpf_btf *handle, struct lbpf_btf *base)
{
	if (!base->btf)
		luaL_error(L, "btf.file: option 'base': BTF of %s is closed", base->name);
	if (btf__base_btf(base->btf))
		luaL_error(L, "btf.file: option 'base': the BTF of %s has a base itself", base->name);
	if (!base->borrowed) {
		int err = lbpf_btf_use_base(handle, base);

		if (err)
			lbpf_err_raise(L, err, NULL, "btf.file");
		return base->btf;
	}
	lua_getiuservalue(L, -2, 1);
	/* If that is a BTF handle, it is the kernel's, which is never freed. */
	if (!lbpf_class_test(L, -1, &lbpf_btf_class))
		luaL_error(L,
			   "btf.file: option 'base': the BTF of %s belongs to an object, which frees it when it is "
			   "closed",
			   base->name);
	lua_setiuservalue(L, -2, 1);
	return base->btf;
}

/*** Reads BTF from a file. That is an ELF file with a section .BTF, such as a compiled object, or a file of BTF alone,
such as /sys/kernel/btf/vmlinux.
@function bpf.btf.file
@tparam string path
@tparam ?table options
- base: the BTF that the file's types refer to, `bpf.btf.kernel()` for a module's. Its types can be found in the result
  as well
@treturn bpf.btf a handle
@treturn nil,string,string on failure: ENOENT, ENODATA (an ELF file without BTF), EFBIG (more than 256 MiB of BTF),
 LIBBPF_ERRNO__FORMAT (damaged, of another byte order, or of another base), …
@usage
local btf <close> = assert(bpf.btf.file "/sys/kernel/btf/vmlinux")
print(btf:print "struct list_head")
@see btf__parse_split */
static int btf_file(lua_State *L)
{
	const char *path = lbpf_arg_string(L, 1), *cause, *slash = strrchr(path, '/');
	struct lbpf_btf *handle, *base;
	int err;

	lua_settop(L, 2);
	base = push_base(L, 2);
	handle = lbpf_btf_new(L);
	set_name(handle, slash && slash[1] ? slash + 1 : path);
	err = lbpf_btffile_parse(L, path, base ? use_base(L, handle, base) : NULL, handle, &cause);
	return err ? lbpf_err_push(L, err, cause, "BTF of '%s'", path) : 1;
}

/*** Makes BTF from C declarations. Text that is no C declaration raises an error with line and column.
@function bpf.btf.parse
@tparam string text such as "struct hit { __u64 count; }; enum verdict { PASS, DROP };"
@treturn bpf.btf a handle
@usage
local btf <close> = bpf.btf.parse "struct hit { __u64 count; }; enum verdict { PASS, DROP };"
assert(btf:find("enum verdict").values.DROP == 1) */
static int btf_parse(lua_State *L)
{
	size_t len;
	const char *text = luaL_checklstring(L, 1, &len);
	struct lbpf_btf *handle;

	lua_settop(L, 1);
	handle = lbpf_btf_new_empty(L, NULL);
	set_name(handle, "C text");
	lbpf_cdecl(L, handle->btf, text, len);
	return 1;
}

/*** Compiles a C type, to encode and decode values and for functions that take a C type. Text that is no C declaration
raises an error with line and column.
@function bpf.btf.type
@tparam string|integer|bpf.type spec C text, whose last declaration is the type ("struct hit { __u64 count; }"); the
 name of a type in the kernel's BTF ("struct task_struct"); or a size in bytes, for raw strings
@treturn bpf.type the type
@usage
local hit = bpf.btf.type "struct hit { __u64 count; char comm[16]; }"
local bytes = hit:encode { count = 5, comm = "curl" }
assert(hit:decode(bytes).comm == "curl") */
static int btf_type(lua_State *L)
{
	luaL_argexpected(L, !lua_isnoneornil(L, 1), 1, "C type, size in bytes or bpf.type");
	lbpf_btf_spec(L, 1, NULL, "type");
	return 1;
}

/* ---- methods ---- */

static int compile(lua_State *L)
{
	struct lbpf_btf *handle = lbpf_btf_check(L), *text;
	int64_t id = lbpf_btf_which(L, handle, 0);
	size_t len;

	if (id < 0 && lua_type(L, 2) == LUA_TSTRING &&
	    !(lbpf_arg_is_text(L, 2) && lbpf_btf_is_name(lua_tostring(L, 2)))) {
		/* libbpf 1.1 reads wrong names if BTF is split twice */
		if (btf__base_btf(handle->btf))
			luaL_error(L, "'%s' is no type of %s, whose BTF has a base and takes no C text",
				   lua_tostring(L, 2), handle->name);
		text = lbpf_btf_new_empty(L, handle->btf);
		lua_tolstring(L, 2, &len);
		id = lbpf_cdecl(L, text->btf, lua_tostring(L, 2), len);
		lbpf_btf_compile(L, text->btf, (uint32_t)id);
		lbpf_btf_drop(text);
	} else {
		lbpf_btf_compile(L, handle->btf, lbpf_btf_need(L, handle));
	}
	return 1;
}

/*** Compiles a type of this BTF, to encode and decode values and for functions that take a C type.
@function btf:type
@tparam string|integer which a name such as "struct event" or "event_t", an id, or C text that may use the types of this
 BTF ("struct event[4]"). Raises an error if there is no such type, or if the type has no values
@treturn bpf.type the type, which doesn't need the BTF any more
@usage
local hits = btf:type "struct hit[2]"
assert(hits:size() == 48 and #hits:decode(("\0"):rep(48)) == 2) */
static int handle_type(lua_State *L)
{
	lbpf_btf_check(L);
	lbpf_btf_check_which(L);
	lua_settop(L, 2);
	return lbpf_btf_undisturbed(L, compile);
}

static int bytes(lua_State *L)
{
	struct lbpf_btf *handle = lbpf_btf_check(L);
	uint32_t size;
	const void *data = btf__raw_data(handle->btf, &size);

	if (!data)
		return lbpf_err_push(L, errno, NULL, "BTF of %s", handle->name);
	lua_pushlstring(L, data, size);
	return 1;
}

/*** Returns the bytes of the BTF, as they are in a file.
@function btf:bytes
@treturn string the bytes
@treturn nil,string,string on failure: ENOMEM
@usage
local path = os.tmpname()
assert(io.open(path, "wb")):write(btf:bytes()):close()
local same <close> = assert(bpf.btf.file(path))
assert(os.remove(path) and same:find("struct hit").size == 24)
@see btf__raw_data */
static int handle_bytes(lua_State *L)
{
	lbpf_btf_check(L);
	return lbpf_btf_undisturbed(L, bytes);
}

/*** Returns a number that distinguishes this BTF from other BTF: the 64-bit FNV-1a hash of its bytes.
@function btf:hash
@treturn string 16 hexadecimal digits
@treturn nil,string,string on failure: ENOMEM
@usage
local other <close> = bpf.btf.parse "struct hit { __u32 count; };"
assert(other:hash() ~= btf:hash()) */
static int handle_hash(lua_State *L)
{
	struct lbpf_btf *handle = lbpf_btf_check(L);
	uint32_t size;
	const unsigned char *data = btf__raw_data(handle->btf, &size);
	uint64_t hash = 0xcbf29ce484222325;
	char text[17];

	if (!data)
		return lbpf_err_push(L, errno, NULL, "BTF of %s", handle->name);
	for (uint32_t i = 0; i < size; i++)
		hash = (hash ^ data[i]) * 0x100000001b3;
	snprintf(text, sizeof(text), "%016llx", (unsigned long long)hash);
	lua_pushstring(L, text);
	return 1;
}

/*** Closes the handle; closing twice is fine. Compiled types stay usable.
@function btf:close
@treturn true
@usage
local hit = btf:type "struct hit"
btf:close()
assert(hit:size() == 24) */
static int handle_close(lua_State *L)
{
	return lbpf_class_close(L, &lbpf_btf_class);
}

static uint32_t count(const struct lbpf_btf *handle)
{
	const struct btf *base = btf__base_btf(handle->btf);

	return btf__type_cnt(handle->btf) - (base ? btf__type_cnt(base) : 1);
}

static int handle_len(lua_State *L)
{
	lua_pushinteger(L, count(lbpf_btf_check(L)));
	return 1;
}

static int handle_tostring(lua_State *L)
{
	struct lbpf_btf *handle = lbpf_class_check(L, 1, &lbpf_btf_class);

	if (handle->btf)
		lua_pushfstring(L, "bpf.btf: %s (%I types)", handle->name, (LUAI_UACINT)count(handle));
	else
		lua_pushfstring(L, "bpf.btf: %s (closed)", handle->name);
	return 1;
}

static const luaL_Reg btf_methods[] = {
	{ "find", lbpf_btf_find },	 { "types", lbpf_btf_types },
	{ "resolve", lbpf_btf_resolve }, { "print", lbpf_btf_print },
	{ "dump", lbpf_btf_dump },	 { "type", handle_type },
	{ "bytes", handle_bytes },	 { "hash", handle_hash },
	{ "close", handle_close },	 { NULL, NULL },
};

static const luaL_Reg btf_meta[] = {
	{ "__len", handle_len },
	{ "__tostring", handle_tostring },
	{ NULL, NULL },
};

static const luaL_Reg btf_functions[] = {
	{ "kernel", btf_kernel }, { "module", btf_module }, { "by_id", btf_by_id }, { "file", btf_file },
	{ "parse", btf_parse },	  { "type", btf_type },	    { NULL, NULL },
};

void lbpf_btf_open(lua_State *L)
{
	lbpf_class_register(L, &lbpf_btf_class);
	lbpf_class_add_methods(L, &lbpf_btf_class, btf_methods);
	lbpf_class_extend(L, &lbpf_btf_class, btf_meta);
	lbpf_btfdump_open(L);
	luaL_newlib(L, btf_functions);
	lua_setfield(L, -2, "btf");
}
