/* SPDX-License-Identifier: MIT */
/* Prints BTF types as C declarations, by libbpf's btf_dump.
 *
 * libbpf's text doesn't always have the layout of the BTF. So the text is parsed, and each definition is compared with
 * its type. Definitions that differ are printed again by define.c. To be able to do that, we ask libbpf for one
 * definition at a time, in the order in which it would print them. */
#include "btf/dump.h"

#include <stdio.h>
#include <string.h>

#include <lauxlib.h>

#include <bpf/btf.h>

#include "base/arg.h"
#include "base/err.h"
#include "base/log.h"
#include "base/draft.h"
#include "btf/btf.h"
#include "btf/define.h"
#include "btf/info.h"
#include "btf/pieces.h"
#include "btf/same.h"
#include "btf/text.h"
#include "btf/weigh.h"
#include "cdecl/cdecl.h"

/* ---- what is written, while Lua looks at it ---- */

enum { PASSES_MAX = 8 }; /* then no definition of libbpf's is left */

struct printer {
	struct lbpf_head head;
	struct lbpf_btfpieces out;
};

static void printer_release(lua_State *L, int idx, void *self)
{
	struct printer *p = self;

	(void)L;
	(void)idx;
	lbpf_btfpieces_free(&p->out);
}

static const struct lbpf_class printer_class = { .name = "bpf.btf.printer", .release = printer_release };

/* Pushes a value whose collection releases everything. */
static struct lbpf_btfpieces *push_printer(lua_State *L, const struct btf *btf)
{
	struct printer *p = lbpf_class_new(L, &printer_class, sizeof(*p), 0);

	lbpf_btfpieces_make(&p->out, btf);
	return &p->out;
}

/* ---- holding the text against the types ---- */

/* Whether the text of a piece means the piece's type. Stores how they differ. */
static bool is_right(const struct lbpf_btfpieces *p, const struct btf *parsed, uint32_t k, struct lbpf_btfsame *same)
{
	const struct btf_type *t = btf__type_by_id(p->text.btf, p->id[k]);
	const char *name = btf__name_by_offset(p->text.btf, t->name_off);

	*same = (struct lbpf_btfsame){ .found = parsed, .wanted = p->text.btf, .whole = true };
	snprintf(same->path, sizeof(same->path), "%s", name && *name ? name : "what has no name");
	return !p->piece[k].id ||
		lbpf_btfsame(same, p->piece[k].id, btf_is_var(t) || btf_is_func(t) ? t->type : p->id[k]);
}

/* Lets define.c print a piece, or all pieces. Returns whether it wasn't already to do so. */
static bool take(struct lbpf_btfpieces *p, uint32_t k, bool all)
{
	bool taken = false;

	for (uint32_t i = all ? 0 : k; i < p->count && (all || i == k); i++) {
		taken |= !p->ours[p->id[i]];
		p->ours[p->id[i]] = true;
	}
	return taken;
}

static void give_up(struct lbpf_btfpieces *p, uint32_t k, const char *why)
{
	lbpf_btftext_fail(&p->text, "%s", why);
	lbpf_btfpieces_name(p, p->id[k]);
}

/* Whether a piece is about an enum. */
static bool is_enum(const struct lbpf_btfpieces *p, uint32_t k)
{
	return btf_is_any_enum(btf__type_by_id(p->text.btf, p->id[k]));
}

/* Parses the text and finds definitions that are wrong: enums first, because a struct may be wrong only because of
 * them. Returns whether the text must be written again. A piece may be wrong because of another piece that it contains.
 * So a wrong piece that define.c has printed is hopeless only if no other piece is left to print again. */
static bool is_wrong(lua_State *L, struct lbpf_btfpieces *p, bool all)
{
	struct lbpf_cpieces pieces = { .piece = p->piece, .count = p->count };
	struct btf *parsed = lbpf_btf_new_empty(L, NULL)->btf;
	struct lbpf_btfsame same, hopeless = { 0 };
	bool wrong = false, taken = false;
	uint32_t which = 0;

	if (!lbpf_cdecl_pieces(L, parsed, p->text.text, p->text.len, &pieces)) {
		if (pieces.failed == pieces.count)
			lua_error(L);
		if (!take(p, pieces.failed, all) && !take(p, 0, true))
			give_up(p, pieces.failed, lua_tostring(L, -1));
		lua_pop(L, 2);
		return true;
	}
	for (int enums = 1; enums >= 0 && !taken; enums--)
		for (uint32_t k = 0; k < p->count; k++)
			if (is_enum(p, k) == enums && !is_right(p, parsed, k, &same)) {
				wrong = true;
				which = k;
				hopeless = same;
				taken |= take(p, k, all);
			}
	if (wrong && !taken)
		give_up(p, which, hopeless.difference);
	lua_pop(L, 1);
	return wrong;
}

/* ---- what is to be printed ---- */

/* What to print: types by their ids; or a function, variable or pointer, which isn't defined but declared, by its
 * name. */
struct wanted {
	uint32_t first, last;
	bool declared; /* `first` is declared, not defined */
	bool needed;   /* after the definitions that it needs */
	const char *name;
};

/* Calls fn for each type that a declaration mentions, also for targets of pointers. */
static void each_mentioned(lua_State *L, struct lbpf_btfpieces *p, uint32_t id,
			   void (*fn)(lua_State *, struct lbpf_btfpieces *, uint32_t))
{
	const struct btf *btf = p->text.btf;
	const struct btf_type *t = btf__type_by_id(btf, id);

	for (; btf_is_ptr(t) || btf_is_mod(t) || btf_is_array(t); t = btf__type_by_id(btf, id))
		id = btf_is_array(t) ? btf_array(t)->type : t->type;
	if (btf_is_func_proto(t)) {
		each_mentioned(L, p, t->type, fn);
		for (uint16_t i = 0; i < btf_vlen(t); i++)
			each_mentioned(L, p, btf_params(t)[i].type, fn);
	} else if (id) {
		fn(L, p, id);
	}
}

static void weigh_mentioned(lua_State *L, struct lbpf_btfpieces *p, uint32_t id)
{
	lbpf_btfweigh(L, p->text.btf, id, id);
}

static void order_mentioned(lua_State *L, struct lbpf_btfpieces *p, uint32_t id)
{
	(void)L;
	lbpf_btfpieces_order(p, id, false);
}

/* The type in the declaration of a function, variable or pointer. */
static uint32_t declared_type(const struct btf *btf, uint32_t id)
{
	const struct btf_type *t = btf__type_by_id(btf, id);

	return btf_is_func(t) || btf_is_var(t) ? t->type : id;
}

static void write_declaration(struct lbpf_btfpieces *p, uint32_t id, const char *name, const char *end)
{
	size_t at = p->text.len;
	uint32_t type = declared_type(p->text.btf, id);

	lbpf_btftext_declaration(&p->text, type, name, 0);
	lbpf_btftext_add(&p->text, "%s", end);
	lbpf_btfpieces_end(p, at, id);
}

/* Checks that the parser's pointers have the size of the BTF's, if the BTF tells it. */
static bool is_parsed(const struct btf *btf)
{
	size_t size = btf__pointer_size(btf);

	return !size || size == sizeof(void *);
}

/* Writes the text, again and again until it is right. The text's err tells whether that failed. */
static void write_right(lua_State *L, struct lbpf_btfpieces *p, const struct wanted *w)
{
	const struct btf *btf = p->text.btf;
	bool again = true;

	for (int pass = 0; again && !p->text.err; pass++) {
		struct lbpf_log *log = lbpf_log_begin(L);

		lbpf_btfpieces_begin(p);
		if (w->needed)
			each_mentioned(L, p, declared_type(btf, w->first), order_mentioned);
		if (w->declared) /* the parser requires a name */
			write_declaration(p, w->first, *w->name ? w->name : "x", ";");
		for (uint32_t id = w->first; id <= w->last && !w->declared && !p->text.err; id++)
			lbpf_btfpieces_order(p, id, false);
		lbpf_log_end(log);
		again = !p->text.err && is_parsed(btf) && (w->needed || !w->declared) &&
			is_wrong(L, p, pass >= PASSES_MAX);
	}
}

static int print_fail(lua_State *L, const struct lbpf_btf *handle, struct lbpf_btfpieces *p)
{
	int n = lbpf_err_push(L, p->text.err, *p->text.why ? p->text.why : NULL, "BTF of %s: print", handle->name);

	lbpf_btfpieces_free(p);
	return n;
}

/* The kinds of types that libbpf defines, and those that it only declares. */
static bool is_defined(const struct btf_type *t)
{
	switch (btf_kind(t)) {
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
	case BTF_KIND_FWD:
		return t->name_off;
	case BTF_KIND_TYPEDEF:
		return true;
	default:
		return false;
	}
}

/* Where the last piece begins. */
static size_t last_piece(const struct lbpf_btfpieces *p)
{
	return p->count > 1 ? p->piece[p->count - 2].end : 0;
}

/* Pushes the text of the type, with the definitions that it needs if argument 3 is true. */
static int print_one(lua_State *L)
{
	struct lbpf_btf *handle = lbpf_btf_check(L);
	uint32_t id = lbpf_btf_need(L, handle);
	const struct btf_type *t = btf__type_by_id(handle->btf, id);
	bool deep = lua_toboolean(L, 3), named = btf_is_func(t) || btf_is_var(t);
	struct wanted w = { .first = id, .last = id, .declared = !is_defined(t), .name = "" };
	size_t from = 0, len;
	struct lbpf_btfpieces *p;

	if (btf_is_datasec(t) || btf_kind(t) == BTF_KIND_DECL_TAG)
		luaL_error(L, "C has no declaration for what type %I is", (LUAI_UACINT)id);
	lbpf_btfweigh(L, handle->btf, id, id);
	p = push_printer(L, handle->btf);
	if (named && btf__name_by_offset(handle->btf, t->name_off))
		w.name = btf__name_by_offset(handle->btf, t->name_off);
	w.needed = w.declared && (deep || lbpf_btfdefine_which(handle->btf, declared_type(handle->btf, id)));
	if (w.needed)
		each_mentioned(L, p, declared_type(handle->btf, id), weigh_mentioned);
	write_right(L, p, &w);
	if (w.declared && !*w.name && !p->text.err) {
		lbpf_btftext_cut(&p->text, last_piece(p));
		p->count--;
		write_declaration(p, id, "", "");
	}
	if (p->text.err)
		return print_fail(L, handle, p);
	if (!deep)
		from = lbpf_btftext_paragraph(&p->text, last_piece(p));
	for (len = p->text.len; len > from && p->text.text[len - 1] == '\n';)
		len--;
	lua_pushlstring(L, p->text.text + from, len - from);
	lbpf_btfpieces_free(p);
	return 1;
}

/*** Returns a type as C text: the definition of a struct, union or enum, the prototype of a function, the declaration
of anything else.

The text has the layout that the BTF has. libbpf's text is parsed and compared with the type; a definition that libbpf
gets wrong is written as a packed struct with all its padding. For enums that are `cut` (see the
[descriptions](#descriptions-of-types)), the text has the lower halves of the values, and says so.
@function btf:print
@tparam string|integer which a name or an id; raises an error if there is no such type
@tparam ?table options
- deep: true puts what the declaration needs before it, so that the text compiles
@treturn string C text, without a newline at the end
@treturn nil,string,string on failure: ELOOP (damaged BTF), EOPNOTSUPP (C can't express it: the message names the type
 and the member), ENOMEM
@usage
print(btf:print "enum verdict")  -- enum verdict { PASS = 0, … }, in four lines
print(btf:print("hit_t", { deep = true }))
@see btf_dump__dump_type, btf_dump__emit_type_decl */
int lbpf_btf_print(lua_State *L)
{
	static const struct lbpf_option options[] = {
		{ "deep", LBPF_OPT_BOOL, 0 },
		{ NULL, LBPF_OPT_OTHER, 0 },
	};
	bool deep = false;

	lbpf_btf_check(L);
	lbpf_btf_check_which(L);
	lua_settop(L, 3);
	lbpf_arg_options(L, 3, options, &deep, "btf:print");
	lua_pushboolean(L, deep);
	lua_replace(L, 3);
	return lbpf_btf_undisturbed(L, print_one);
}

/* ---- everything ---- */

static const char head[] = "#ifndef __VMLINUX_H__\n"
			   "#define __VMLINUX_H__\n\n"
			   "#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n"
			   "#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)\n"
			   "#endif\n\n";
static const char tail[] = "#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n"
			   "#pragma clang attribute pop\n"
			   "#endif\n\n"
			   "#endif /* __VMLINUX_H__ */\n";

/* Writes the text to a file, or pushes it. */
static int deliver(lua_State *L, const struct lbpf_btf *handle, const char *path)
{
	struct lbpf_btfpieces *p = &((struct printer *)lua_touserdata(L, -1))->out;
	int err = p->text.err;

	if (err)
		return print_fail(L, handle, p);
	err = path ? lbpf_draft_write(path, p->text.text, p->text.len) : 0;
	if (!path)
		lua_pushlstring(L, p->text.text, p->text.len);
	lbpf_btfpieces_free(p);
	if (err)
		return lbpf_err_push(L, err, NULL, "BTF of %s: write '%s'", handle->name, path);
	if (path)
		lua_pushboolean(L, 1);
	return 1;
}

static int dump(lua_State *L)
{
	struct lbpf_btf *handle = lbpf_btf_check(L);
	const struct btf *base = btf__base_btf(handle->btf);
	struct wanted w = { .first = base ? btf__type_cnt(base) : 1, .last = btf__type_cnt(handle->btf) - 1 };
	const char *path = lua_tostring(L, 2);
	struct lbpf_btfpieces *p;

	lbpf_btfweigh(L, handle->btf, w.first, w.last);
	p = push_printer(L, handle->btf);
	write_right(L, p, &w);
	lbpf_btftext_wrap(&p->text, head, tail);
	return deliver(L, handle, path);
}

/*** Returns all types as a C header, known as vmlinux.h, or writes the header to a file. The types are in an order that
compiles. The header is that of `bpftool btf dump … format c`, except that definitions whose layout bpftool gets wrong
are right, as in btf:print. Programs that include the header access its structs by relocations (CO-RE), which are
resolved at load time.

Kernels since 6.19 have structs with members without a name that are named structs. For these, clang needs
`-fms-extensions`, which bpf.compile passes.
@function btf:dump
@tparam ?string path of the file to write. An existing file is replaced once everything has been written
@treturn string|true the text; true if it was written to a file
@treturn nil,string,string on failure: EOPNOTSUPP, as btf:print; EACCES, ENOSPC, …
@usage
local header = assert(btf:dump())
assert(header:find("struct hit {", 1, true))
@see btf_dump__dump_type */
int lbpf_btf_dump(lua_State *L)
{
	lbpf_btf_check(L);
	if (!lua_isnoneornil(L, 2))
		lbpf_arg_string(L, 2);
	lua_settop(L, 2);
	return lbpf_btf_undisturbed(L, dump);
}

void lbpf_btfdump_open(lua_State *L)
{
	lbpf_class_register(L, &printer_class);
}
