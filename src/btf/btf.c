/* SPDX-License-Identifier: MIT */
/* BTF handles, and finding the type that a script names. */
#define _GNU_SOURCE
#include "btf/btf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "base/arg.h"
#include "base/cause.h"
#include "base/err.h"
#include "base/log.h"
#include "base/spare.h"
#include "btf/compile.h"
#include "cdecl/cdecl.h"

static const char KERNEL_KEY;

struct lbpf_btf *lbpf_btf_new(lua_State *L)
{
	return lbpf_class_new(L, &lbpf_btf_class, sizeof(struct lbpf_btf), 1);
}

struct lbpf_btf *lbpf_btf_new_empty(lua_State *L, struct btf *base)
{
	struct lbpf_btf *handle = lbpf_btf_new(L);

	handle->btf = base ? btf__new_empty_split(base) : btf__new_empty();
	if (!handle->btf)
		lbpf_err_raise(L, errno, NULL, "BTF");
	return handle;
}

static void shared_drop(struct lbpf_btf_shared *shared)
{
	if (!shared || --shared->uses)
		return;
	btf__free(shared->btf);
	free(shared);
}

int lbpf_btf_use_base(struct lbpf_btf *handle, struct lbpf_btf *base)
{
	if (!base->shared) {
		base->shared = malloc(sizeof(*base->shared));
		if (!base->shared)
			return ENOMEM;
		*base->shared = (struct lbpf_btf_shared){ base->btf, 1 };
	}
	base->shared->uses++;
	handle->base = base->shared;
	return 0;
}

void lbpf_btf_drop(struct lbpf_btf *handle)
{
	struct lbpf_btf was = *handle;

	handle->btf = NULL;
	handle->shared = handle->base = NULL;
	if (!was.borrowed && !was.shared)
		btf__free(was.btf);
	shared_drop(was.shared);
	shared_drop(was.base);
}

static void btf_release(lua_State *L, int idx, void *self)
{
	(void)L;
	(void)idx;
	lbpf_btf_drop(self);
}

const struct lbpf_class lbpf_btf_class = { .name = "bpf.btf", .release = btf_release };

/* ---- specs ---- */

/* If the kernel's BTF has been read, pushes its handle and returns the BTF. */
static struct btf *push_known(lua_State *L)
{
	struct lbpf_btf *handle;

	lua_rawgetp(L, LUA_REGISTRYINDEX, &KERNEL_KEY);
	handle = lbpf_class_test(L, -1, &lbpf_btf_class);
	if (handle && handle->btf)
		return handle->btf;
	lua_pop(L, 1);
	return NULL;
}

struct btf *lbpf_btf_push_kernel(lua_State *L)
{
	struct btf *known = push_known(L);
	struct lbpf_btf *handle;
	struct lbpf_log *log;
	int err;

	if (known)
		return known;
	err = lbpf_spare(L, 2); /* libbpf reports that there is no BTF if it can't open the file */
	if (err) {
		errno = err;
		return NULL;
	}
	handle = lbpf_btf_new(L);
	known = push_known(L); /* a finalizer may have read it */
	if (known) {
		lua_remove(L, -2);
		return known;
	}
	log = lbpf_log_begin(L);
	handle->btf = btf__load_vmlinux_btf();
	err = errno;
	lbpf_log_end(log);
	if (!handle->btf) {
		lua_pop(L, 1);
		errno = err;
		return NULL;
	}
	lua_pushvalue(L, -1);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &KERNEL_KEY);
	return handle->btf;
}

static const struct {
	const char *prefix;
	uint32_t kind;
} tags[] = {
	{ "struct ", BTF_KIND_STRUCT }, { "union ", BTF_KIND_UNION }, { "enum ", BTF_KIND_ENUM },
	{ "enum ", BTF_KIND_ENUM64 },	{ "", BTF_KIND_TYPEDEF },     { "", BTF_KIND_INT },
	{ "", BTF_KIND_STRUCT },
};

#define TAGS (sizeof(tags) / sizeof(*tags))

static bool is_identifier(const char *s)
{
	if (!lbpf_is_word(*s) || (*s >= '0' && *s <= '9'))
		return false;
	while (lbpf_is_word(*s))
		s++;
	return *s == '\0';
}

bool lbpf_btf_is_name(const char *s)
{
	if (lbpf_cdecl_is_builtin(s))
		return false;
	for (size_t i = 0; i < TAGS; i++) {
		size_t len = strlen(tags[i].prefix);

		if (strncmp(s, tags[i].prefix, len) == 0 && is_identifier(s + len))
			return true;
	}
	return false;
}

uint32_t lbpf_btf_find_name(const struct btf *btf, const char *s)
{
	for (size_t i = 0; btf && i < TAGS; i++) {
		size_t len = strlen(tags[i].prefix);
		int id = strncmp(s, tags[i].prefix, len) == 0 ? btf__find_by_name_kind(btf, s + len, tags[i].kind) : -1;

		if (id > 0)
			return (uint32_t)id;
	}
	return 0;
}

int lbpf_btf_add(lua_State *L, struct btf *btf, int idx)
{
	size_t len;
	const char *text = lua_tolstring(L, idx, &len);

	if (lbpf_arg_is_text(L, idx) && lbpf_btf_is_name(text)) {
		uint32_t id = lbpf_btf_find_name(btf, text);

		return (int)id;
	}
	return lbpf_cdecl(L, btf, text, len);
}

static struct lbpf_type *kernel_type(lua_State *L, const char *name, const struct btf *own, const char *what)
{
	int base = lua_gettop(L);
	struct btf *kernel = lbpf_btf_push_kernel(L);
	const char *unread = kernel ? NULL : strerrordesc_np(errno), *hidden = kernel ? NULL : lbpf_no_kernel_btf();
	uint32_t id = lbpf_btf_find_name(kernel, name);
	struct lbpf_type *type;

	if (!id)
		luaL_error(L, "%s: '%s' is neither in %sthe kernel's BTF%s, nor is it the text of a C declaration%s",
			   what, name, own ? "the object's nor in " : "",
			   kernel ? "" : lua_pushfstring(L, " (%s)", hidden ? hidden : unread),
			   own ? "; clang leaves out types that no map, global variable or function mentions" : "");
	type = lbpf_btf_compile(L, kernel, id);
	lua_replace(L, base + 1);
	return type;
}

struct lbpf_type *lbpf_btf_spec(lua_State *L, int idx, struct btf *own, const char *what)
{
	struct lbpf_type *type = lbpf_class_test(L, idx, &lbpf_type_class);
	struct lbpf_btf *text;
	int top = lua_gettop(L), id;

	luaL_checkstack(L, 16, NULL);
	idx = lua_absindex(L, idx);
	if (type) {
		lua_pushvalue(L, idx);
		return type;
	}
	if (lua_isnoneornil(L, idx))
		return lbpf_type_push_raw(L, 0);
	if (lua_type(L, idx) == LUA_TNUMBER) {
		lua_Integer size = lua_tointeger(L, idx);

		if (!lua_isinteger(L, idx) || size < 1 || size > INT32_MAX)
			luaL_error(L, "%s: %s is no size in bytes", what, luaL_tolstring(L, idx, NULL));
		return lbpf_type_push_raw(L, (uint32_t)size);
	}
	if (lua_type(L, idx) != LUA_TSTRING)
		luaL_error(L, "%s: C type, size in bytes or bpf.type expected, got %s", what, luaL_typename(L, idx));
	text = lbpf_btf_new_empty(L, own);
	id = lbpf_btf_add(L, text->btf, idx);
	if (id)
		type = lbpf_btf_compile(L, text->btf, (uint32_t)id);
	else
		type = kernel_type(L, lua_tostring(L, idx), own, what);
	lua_replace(L, top + 1);
	lua_settop(L, top + 1);
	return type;
}
