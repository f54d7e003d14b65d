/* SPDX-License-Identifier: MIT */
/* Types of BTF as the text of C declarations, by libbpf's btf_dump.
 *
 * libbpf follows pointers, parameters and members without counting. So before it prints a type of damaged BTF, we look
 * whether there is an end to it: how deep its text is, and how long; and libbpf divides by alignments. */
#include "btfdump.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>

#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "arg.h"
#include "btf.h"
#include "btfinfo.h"
#include "err.h"
#include "posix.h"

enum {
	DEPTH_MAX = 256,      /* what C allows to nest; the kernel's types stay below 40 */
	WEIGHT_MAX = 1 << 27, /* members, parameters and pointers in all; the kernel has some millions */
};

/* ---- the end of a type ---- */

/* What is known of a type, as it is and as the target of a pointer, where a struct with a name is a mere name. */
struct node {
	uint32_t weight;
	uint16_t height; /* 0: not looked at yet */
};

struct weigh {
	const struct btf *btf;
	struct node *node; /* two for each id */
};

static const uint16_t IN_PROGRESS = UINT16_MAX;

static bool weigh(struct weigh *w, uint32_t id, bool pointed, int depth);

/* Whether a type has an alignment, by which libbpf divides. */
static bool is_aligned(const struct btf *btf, uint32_t id)
{
	const struct btf_type *t = btf__type_by_id(btf, id);

	for (int i = 0; t && i < DEPTH_MAX; i++)
		switch (btf_kind(t)) {
		case BTF_KIND_TYPEDEF:
		case BTF_KIND_VOLATILE:
		case BTF_KIND_CONST:
		case BTF_KIND_RESTRICT:
		case BTF_KIND_TYPE_TAG:
			t = btf__type_by_id(btf, t->type);
			break;
		case BTF_KIND_ARRAY:
			t = btf__type_by_id(btf, btf_array(t)->type);
			break;
		case BTF_KIND_INT:
		case BTF_KIND_ENUM:
		case BTF_KIND_ENUM64:
		case BTF_KIND_FLOAT:
			return t->size != 0;
		default:
			return btf_is_ptr(t) || btf_is_composite(t);
		}
	return false;
}

/* Adds a part to what contains it. */
static bool weigh_part(struct weigh *w, struct node *sum, uint32_t id, bool pointed, int depth)
{
	const struct node *part = &w->node[2 * id + pointed];

	if (!weigh(w, id, pointed, depth + 1))
		return false;
	sum->weight += part->weight;
	if (part->height >= sum->height)
		sum->height = part->height + 1;
	return sum->weight <= WEIGHT_MAX && sum->height <= DEPTH_MAX;
}

/* Adds all that a type consists of. */
static bool weigh_parts(struct weigh *w, struct node *sum, const struct btf_type *t, bool pointed, int depth)
{
	bool ok = true;

	switch (btf_kind(t)) {
	case BTF_KIND_PTR:
		return weigh_part(w, sum, t->type, true, depth);
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_TYPE_TAG:
	case BTF_KIND_VAR:
	case BTF_KIND_FUNC:
		return weigh_part(w, sum, t->type, pointed, depth);
	case BTF_KIND_ARRAY:
		return weigh_part(w, sum, btf_array(t)->type, pointed, depth);
	case BTF_KIND_FUNC_PROTO:
		ok = weigh_part(w, sum, t->type, pointed, depth);
		for (uint16_t i = 0; i < btf_vlen(t) && ok; i++)
			ok = weigh_part(w, sum, btf_params(t)[i].type, pointed, depth);
		return ok;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		for (uint16_t i = 0; i < btf_vlen(t) && ok && (!pointed || !t->name_off); i++)
			ok = is_aligned(w->btf, btf_members(t)[i].type) &&
				weigh_part(w, sum, btf_members(t)[i].type, false, depth);
		return ok;
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		sum->weight += btf_vlen(t);
		return true;
	default:
		return true;
	}
}

static bool weigh(struct weigh *w, uint32_t id, bool pointed, int depth)
{
	struct node *node = &w->node[2 * id + pointed], sum = { .weight = 1, .height = 1 };
	const struct btf_type *t = btf__type_by_id(w->btf, id);

	if (node->height)
		return node->height != IN_PROGRESS;
	if (!t || depth > DEPTH_MAX)
		return false;
	node->height = IN_PROGRESS;
	if (!weigh_parts(w, &sum, t, pointed, depth))
		return false;
	*node = sum;
	return true;
}

/* Raises unless there is an end to the text of each type from first to last. */
static void check_end(lua_State *L, const struct btf *btf, uint32_t first, uint32_t last)
{
	size_t size = 2 * (size_t)btf__type_cnt(btf) * sizeof(struct node);
	struct weigh w = { btf, lua_newuserdatauv(L, size, 0) };
	uint64_t weight = 0;

	memset(w.node, 0, size);
	for (uint32_t id = first; id <= last; id++) {
		if (!weigh(&w, id, false, 0))
			luaL_error(L, "malformed BTF: type %I contains itself, or too much, or what has no size",
				   (LUAI_UACINT)id);
		weight += w.node[2 * id].weight;
		if (weight > WEIGHT_MAX)
			luaL_error(L, "malformed BTF: its types contain too much");
	}
	lua_pop(L, 1);
}

/* ---- printing ---- */

/* Text in memory. */
struct printer {
	struct lbpf_head head;
	struct btf_dump *dump;
	FILE *out;
	char *text;
	size_t size;
	int err; /* an errno: nothing more is written */
};

static void printer_release(lua_State *L, int idx, void *self)
{
	struct printer *p = self;

	(void)L;
	(void)idx;
	btf_dump__free(p->dump);
	p->dump = NULL;
	if (p->out)
		fclose(p->out);
	p->out = NULL;
	free(p->text);
	p->text = NULL;
}

static const struct lbpf_class printer_class = { .name = "bpf.btf.printer", .release = printer_release };

__attribute__((format(printf, 2, 0))) static void print(void *ctx, const char *fmt, va_list args)
{
	struct printer *p = ctx;

	if (!p->err && vfprintf(p->out, fmt, args) < 0)
		p->err = errno;
}

/* Pushes a printer. Its err tells whether that failed. */
static struct printer *push_printer(lua_State *L, const struct btf *btf)
{
	struct printer *p = lbpf_class_new(L, &printer_class, sizeof(*p), 0);
	struct lbpf_log *log;

	p->out = open_memstream(&p->text, &p->size);
	if (!p->out) {
		p->err = errno;
		return p;
	}
	log = lbpf_log_begin(L);
	p->dump = btf_dump__new(btf, print, p, NULL);
	if (!p->dump)
		p->err = errno;
	lbpf_log_end(log);
	return p;
}

/* Ends the text. */
static void finish(struct printer *p)
{
	if (p->out && fclose(p->out) && !p->err)
		p->err = errno;
	p->out = NULL;
}

/* Prints the definitions of types. */
static void print_types(lua_State *L, struct printer *p, uint32_t first, uint32_t last)
{
	struct lbpf_log *log = lbpf_log_begin(L);

	for (uint32_t id = first; id <= last && !p->err; id++) {
		int err = btf_dump__dump_type(p->dump, id);

		if (err)
			p->err = -err;
	}
	lbpf_log_end(log);
}

/* Prints "int (*name)(void)". */
static void print_declaration(lua_State *L, struct printer *p, uint32_t id, const char *name)
{
	LIBBPF_OPTS(btf_dump_emit_type_decl_opts, opts, .field_name = name);
	struct lbpf_log *log = lbpf_log_begin(L);
	int err = p->err ? 0 : btf_dump__emit_type_decl(p->dump, id, &opts);

	if (err)
		p->err = -err;
	lbpf_log_end(log);
}

static int print_fail(lua_State *L, const struct lbpf_btf *handle, int err)
{
	return lbpf_err_push(L, err, NULL, "BTF of %s: print", handle->name);
}

/* The last paragraph of a text, which is what libbpf was asked for; the others are what that depends on. */
static const char *last_paragraph(const char *text)
{
	const char *last = text;

	for (const char *next; (next = strstr(last, "\n\n")) && next[2];)
		last = next + 2;
	return last;
}

/* What libbpf defines, and what it only declares. */
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

/* Prints the definitions of what a declaration mentions, of pointers' targets as well. */
static void print_mentioned(lua_State *L, struct printer *p, const struct btf *btf, uint32_t id)
{
	const struct btf_type *t = btf__type_by_id(btf, id);

	for (; btf_is_ptr(t) || btf_is_mod(t) || btf_is_array(t); t = btf__type_by_id(btf, id))
		id = btf_is_array(t) ? btf_array(t)->type : t->type;
	if (btf_is_func_proto(t)) {
		print_mentioned(L, p, btf, t->type);
		for (uint16_t i = 0; i < btf_vlen(t); i++)
			print_mentioned(L, p, btf, btf_params(t)[i].type);
	} else if (id) {
		check_end(L, btf, id, id);
		print_types(L, p, id, id);
	}
}

/* Prints the declaration of a type that isn't defined by its name: a function, a variable, a pointer. */
static void print_declared(lua_State *L, struct printer *p, const struct btf *btf, uint32_t id, bool deep)
{
	const struct btf_type *t = btf__type_by_id(btf, id);
	const char *name = "";

	if (btf_is_func(t) || btf_is_var(t)) {
		name = btf__name_by_offset(btf, t->name_off);
		id = t->type;
	}
	if (deep)
		print_mentioned(L, p, btf, id);
	print_declaration(L, p, id, name ? name : "");
	if (name && *name && !p->err)
		fputc(';', p->out);
}

/* Pushes the text of the type, with what it needs if 3 is true. */
static int print_one(lua_State *L)
{
	struct lbpf_btf *handle = lbpf_btf_check(L);
	uint32_t id = lbpf_btf_need(L, handle);
	const struct btf_type *t = btf__type_by_id(handle->btf, id);
	bool deep = lua_toboolean(L, 3);
	const char *text;
	struct printer *p;

	if (btf_is_datasec(t) || btf_kind(t) == BTF_KIND_DECL_TAG)
		luaL_error(L, "C has no declaration for what type %I is", (LUAI_UACINT)id);
	check_end(L, handle->btf, id, id);
	p = push_printer(L, handle->btf);
	if (p->err)
		return print_fail(L, handle, p->err);
	if (is_defined(t))
		print_types(L, p, id, id);
	else
		print_declared(L, p, handle->btf, id, deep);
	finish(p);
	if (p->err)
		return print_fail(L, handle, p->err);
	text = deep || !is_defined(t) ? p->text : last_paragraph(p->text);
	p->size -= (size_t)(text - p->text);
	while (p->size && text[p->size - 1] == '\n')
		p->size--;
	lua_pushlstring(L, text, p->size);
	printer_release(L, -2, p);
	return 1;
}

/*** The C declaration of a type, as text: of a struct, union or enum its definition, of a function its prototype.
@function btf:print
@tparam string|integer which a name or an id; raises when there is no such type
@tparam ?table options
- deep: true puts what the declaration needs before it, so that it compiles
@treturn string C text, without a newline at the end
@treturn nil,string,string on failure: ELOOP (damaged BTF), ENOMEM
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

static int dump(lua_State *L)
{
	struct lbpf_btf *handle = lbpf_btf_check(L);
	const struct btf *base = btf__base_btf(handle->btf);
	uint32_t first = base ? btf__type_cnt(base) : 1, last = btf__type_cnt(handle->btf) - 1;
	const char *path = lua_tostring(L, 2);
	struct printer *p;
	int err;

	check_end(L, handle->btf, first, last);
	p = push_printer(L, handle->btf);
	if (!p->err) {
		fputs(head, p->out);
		print_types(L, p, first, last);
		fputs(tail, p->out);
		if (ferror(p->out) && !p->err)
			p->err = ENOMEM;
		finish(p);
	}
	if (p->err)
		return print_fail(L, handle, p->err);
	err = path ? lbpf_posix_write_file(path, p->text, p->size) : 0;
	if (err) {
		printer_release(L, -1, p);
		return lbpf_err_push(L, err, NULL, "BTF of %s: write '%s'", handle->name, path);
	}
	if (path)
		lua_pushboolean(L, 1);
	else
		lua_pushlstring(L, p->text, p->size);
	printer_release(L, -2, p);
	return 1;
}

/*** All types as a C header, in an order that compiles: what `bpftool btf dump … format c` prints, and what is known
as vmlinux.h. Accesses to its structs are relocated when a program that includes it is loaded (CO-RE). Kernels from
6.19 on have structs with other named structs as members without a name: clang needs `-fms-extensions` for these, which
bpf.compile gives.
@function btf:dump
@tparam ?string path of a file to write to. It gets its name when all is written, in place of one that exists
@treturn string|true the text; true when it went to a file
@treturn nil,string,string on failure: EACCES, ENOSPC, …
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
