/* SPDX-License-Identifier: MIT */
/* Compiles BTF types into plans. BTF may come from a damaged file, so sizes, offsets and depth are checked before a
 * plan relies on them. */
#include "btf/compile.h"

#include <string.h>

#include "cdecl/btfenum.h"

#define BTF_MAX_DEPTH 64
#define BTF_MAX_NODES 100000

struct compiler {
	struct lbpf_builder b;
	const struct btf *btf;
	bool inside;   /* other members follow the compiled one, or may follow */
	bool in_union; /* at any depth */
};

/* Structs that only the kernel reads and writes. Copies of them in a value have no meaning. */
static const char *const kernel_owned[] = {
	"bpf_spin_lock", "bpf_timer",	 "bpf_wq",     "bpf_list_head", "bpf_list_node",     "bpf_rb_root",
	"bpf_rb_node",	 "bpf_refcount", "bpf_dynptr", "bpf_task_work", "bpf_res_spin_lock",
};

static const struct btf_type *type_at(struct compiler *c, uint32_t id)
{
	const struct btf_type *t = btf__type_by_id(c->btf, id);

	if (!t)
		luaL_error(c->b.L, "malformed BTF: there is no type %d", (int)id);
	return t;
}

static const char *name_at(const struct btf *btf, const struct btf_type *t)
{
	const char *name = btf__name_by_offset(btf, t->name_off);

	return name ? name : "";
}

static bool is_transparent(const struct btf_type *t)
{
	switch (btf_kind(t)) {
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VAR:
	case BTF_KIND_CONST:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_TYPE_TAG:
		return true;
	default:
		return false;
	}
}

/* The type behind typedefs and qualifiers. `named`, if given, receives the outermost of these types that has a name. */
static const struct btf_type *resolve(struct compiler *c, uint32_t id, const struct btf_type **named)
{
	const struct btf_type *t = type_at(c, id), *first = NULL;

	for (int depth = 0; is_transparent(t); depth++) {
		if (depth == BTF_MAX_DEPTH)
			luaL_error(c->b.L, "malformed BTF: type %d refers to itself", (int)id);
		if (!first && btf_kind(t) == BTF_KIND_TYPEDEF)
			first = t;
		t = type_at(c, t->type);
	}
	if (named)
		*named = first ? first : t;
	return t;
}

static bool is_kernel_owned(struct compiler *c, uint32_t id)
{
	const struct btf_type *t = resolve(c, id, NULL);

	for (int depth = 0; btf_is_array(t) && depth < BTF_MAX_DEPTH; depth++)
		t = resolve(c, btf_array(t)->type, NULL);
	if (btf_is_ptr(t) && t->type) {
		const struct btf_type *to = type_at(c, t->type);
		const char *tag = btf_kind(to) == BTF_KIND_TYPE_TAG ? name_at(c->btf, to) : "";

		return strstr(tag, "kptr") || strcmp(tag, "uptr") == 0;
	}
	for (size_t i = 0; btf_is_struct(t) && i < sizeof(kernel_owned) / sizeof(*kernel_owned); i++)
		if (strcmp(name_at(c->btf, t), kernel_owned[i]) == 0)
			return true;
	return false;
}

/* Pushes the C name of a type without qualifiers: "__u32", "struct hit", "char[16]", "struct sock *". */
static void push_ctype(struct compiler *c, uint32_t id, int depth)
{
	lua_State *L = c->b.L;
	const struct btf_type *named, *t = resolve(c, id, &named);
	const char *prefix = "", *name = name_at(c->btf, named);

	luaL_checkstack(L, 6, NULL);
	if (named == t && (btf_is_ptr(t) || btf_is_array(t)) && depth < BTF_MAX_DEPTH) {
		lua_pushliteral(L, "");
		while (btf_is_array(t)) {
			lua_pushfstring(L, "%s[%I]", lua_tostring(L, -1), (LUAI_UACINT)btf_array(t)->nelems);
			lua_replace(L, -2);
			id = btf_array(t)->type;
			t = resolve(c, id, &named);
			if (named != t || ++depth > BTF_MAX_DEPTH)
				break;
		}
		if (btf_is_ptr(t) && named == t && t->type == 0)
			lua_pushliteral(L, "void *");
		else if (btf_is_ptr(t) && named == t)
			push_ctype(c, t->type, depth + 1), lua_pushliteral(L, " *"), lua_concat(L, 2);
		else
			push_ctype(c, id, depth + 1);
		lua_insert(L, -2);
		lua_concat(L, 2);
		return;
	}
	if (named == t && (btf_is_struct(t) || btf_is_union(t) || btf_is_any_enum(t) || btf_is_fwd(t)))
		prefix = btf_is_union(t) ? "union " : btf_is_any_enum(t) ? "enum " : "struct ";
	if (btf_kind(t) == BTF_KIND_FUNC_PROTO && named == t)
		name = "function";
	lua_pushfstring(L, "%s%s", prefix, *name ? name : *prefix ? "{…}" : "void");
}

static uint32_t add_node(struct compiler *c, enum lbpf_kind kind, uint32_t id, uint32_t offset, uint32_t size)
{
	uint32_t i = lbpf_build_node(&c->b, kind, offset, size);

	if (i == BTF_MAX_NODES)
		luaL_error(c->b.L, "type too large: more than %d members in all", BTF_MAX_NODES);
	push_ctype(c, id, 0);
	lbpf_build_ctype(&c->b, i);
	return i;
}

static int integer_kind(uint32_t size, bool is_signed)
{
	switch (size) {
	case 1:
		return is_signed ? LBPF_S8 : LBPF_U8;
	case 2:
		return is_signed ? LBPF_S16 : LBPF_U16;
	case 4:
		return is_signed ? LBPF_S32 : LBPF_U32;
	case 8:
		return is_signed ? LBPF_S64 : LBPF_U64;
	default:
		return LBPF_RAW;
	}
}

static void compile_int(struct compiler *c, uint32_t id, uint32_t offset, const struct btf_type *t)
{
	if (btf_int_encoding(t) & BTF_INT_BOOL && t->size == 1)
		add_node(c, LBPF_BOOL, id, offset, 1);
	else
		add_node(c, (enum lbpf_kind)integer_kind(t->size, btf_int_encoding(t) & BTF_INT_SIGNED), id, offset,
			 t->size);
}

static void compile_enum(struct compiler *c, uint32_t id, uint32_t offset, const struct btf_type *t)
{
	lua_State *L = c->b.L;
	bool is_signed = lbpf_btfenum_is_signed(c->btf, t), is_cut = lbpf_btfenum_is_cut(t);
	uint32_t i = add_node(c, (enum lbpf_kind)integer_kind(t->size, is_signed), id, offset, t->size), name_off;

	lua_createtable(L, 0, btf_vlen(t));
	for (uint16_t j = 0; j < btf_vlen(t); j++) {
		int64_t value = lbpf_btfenum_value(t, j, is_signed, &name_off);
		const char *name = btf__name_by_offset(c->btf, name_off);

		if (is_cut) /* it has a name, but its value isn't known */
			lua_pushboolean(L, 0);
		else
			lua_pushinteger(L, (lua_Integer)value);
		lua_setfield(L, -2, name ? name : "");
	}
	c->b.node[i].enums = lbpf_build_name(&c->b);
}

static void compile_type(struct compiler *c, uint32_t id, uint32_t offset, int depth);

static void compile_array(struct compiler *c, uint32_t id, uint32_t offset, const struct btf_type *t, int depth)
{
	uint32_t count = btf_array(t)->nelems, i, size;
	const struct btf_type *elem = resolve(c, btf_array(t)->type, NULL);
	bool is_byte = btf_is_int(elem) && elem->size == 1 && !(btf_int_encoding(elem) & BTF_INT_BOOL);
	const char *name = name_at(c->btf, elem);

	if (is_byte && (strcmp(name, "char") == 0 || btf_int_encoding(elem) & BTF_INT_CHAR)) {
		i = add_node(c, LBPF_CHARS, id, offset, count);
	} else if (is_byte && !(btf_int_encoding(elem) & BTF_INT_SIGNED)) {
		i = add_node(c, LBPF_BYTES, id, offset, count);
	} else {
		bool inside = c->inside;

		i = add_node(c, LBPF_ARRAY, id, offset, 0);
		c->inside = true;
		compile_type(c, btf_array(t)->type, 0, depth + 1);
		c->inside = inside;
		size = c->b.node[i + 1].size;
		if (size && count > UINT32_MAX / size)
			luaL_error(c->b.L, "malformed BTF: %s is larger than 4 GiB", c->b.node[i].ctype);
		c->b.node[i].size = size * count;
		c->b.node[i].count = count;
		lbpf_build_close(&c->b, i);
	}
	c->b.node[i].flexible = count == 0 && !c->inside;
	c->b.node[i].beyond = c->in_union;
}

struct place {
	uint32_t bit;  /* offset from the start of the struct that is a node of the plan */
	uint32_t bits; /* width of a bit-field, otherwise 0 */
};

static struct place member_place(const struct btf_type *t, uint16_t i)
{
	return (struct place){ btf_member_bit_offset(t, i), btf_member_bitfield_size(t, i) };
}

static void compile_bitfield(struct compiler *c, uint32_t node, struct place place)
{
	struct lbpf_node *n = &c->b.node[node];
	uint32_t touched = (place.bit % 8 + place.bits + 7) / 8;

	if (n->kind > LBPF_LAST_INTEGER && n->kind != LBPF_BOOL)
		luaL_error(c->b.L, "%s can't be a bit-field here", n->ctype);
	if (place.bits > 64)
		luaL_error(c->b.L, "malformed BTF: a bit-field of %d bits", (int)place.bits);
	if (n->kind == LBPF_BOOL)
		n->kind = LBPF_BBITS;
	else
		n->kind = n->kind >= LBPF_S8 ? LBPF_SBITS : LBPF_UBITS;
	n->bit = place.bit % 8;
	n->bits = (uint8_t)place.bits;
	n->size = touched;
}

static void compile_members(struct compiler *c, uint32_t node, const struct btf_type *t, uint32_t base_bit,
			    bool overlaps, int depth);

static void compile_member(struct compiler *c, uint32_t node, const struct btf_member *m, struct place place,
			   bool overlaps, int depth)
{
	const struct btf_type *t = resolve(c, m->type, NULL);
	const char *name = btf__name_by_offset(c->btf, m->name_off);
	uint32_t i;

	if (!name || !*name) {
		if (btf_is_composite(t))
			compile_members(c, node, t, place.bit, overlaps, depth + 1);
		return;
	}
	if (is_kernel_owned(c, m->type)) {
		c->b.owned = true;
		if (node == 0 && strcmp(name_at(c->btf, t), "bpf_spin_lock") == 0)
			c->b.lock = place.bit / 8;
		return;
	}
	i = c->b.count;
	compile_type(c, m->type, place.bit / 8, depth + 1);
	if (place.bits)
		compile_bitfield(c, i, place);
	else if (place.bit % 8)
		luaL_error(c->b.L, "malformed BTF: member '%s' starts within a byte", name);
	if (c->b.node[i].size > c->b.node[node].size || c->b.node[i].offset > c->b.node[node].size - c->b.node[i].size)
		luaL_error(c->b.L, "malformed BTF: member '%s' lies outside of %s", name, c->b.node[node].ctype);
	c->b.node[i].overlaps = overlaps;
	lua_pushstring(c->b.L, name);
	lbpf_build_label(&c->b, i);
	c->b.node[node].count++;
}

static void compile_members(struct compiler *c, uint32_t node, const struct btf_type *t, uint32_t base_bit,
			    bool overlaps, int depth)
{
	bool inside = c->inside, in_union = c->in_union;

	if (depth > BTF_MAX_DEPTH)
		luaL_error(c->b.L, "malformed BTF: %s is nested too deeply", c->b.node[node].ctype);
	overlaps = overlaps || btf_is_union(t);
	c->in_union = in_union || btf_is_union(t);
	for (uint16_t i = 0; i < btf_vlen(t); i++) {
		struct place place = member_place(t, i);

		c->inside = inside || (!btf_is_union(t) && i + 1 < btf_vlen(t));
		if (place.bit > UINT32_MAX - base_bit)
			luaL_error(c->b.L, "malformed BTF: %s is too large", c->b.node[node].ctype);
		place.bit += base_bit;
		compile_member(c, node, btf_members(t) + i, place, overlaps, depth);
	}
	c->inside = inside;
	c->in_union = in_union;
}

/* A data section is compiled as a struct of its variables. */
static void compile_datasec(struct compiler *c, uint32_t node, const struct btf_type *t, int depth)
{
	for (uint16_t i = 0; i < btf_vlen(t); i++) {
		const struct btf_var_secinfo *var = btf_var_secinfos(t) + i;
		struct btf_member m = { .name_off = type_at(c, var->type)->name_off, .type = var->type };

		if (var->offset > UINT32_MAX / 8)
			luaL_error(c->b.L, "malformed BTF: a variable lies outside of its section");
		c->inside = i + 1 < btf_vlen(t);
		compile_member(c, node, &m, (struct place){ var->offset * 8, 0 }, false, depth);
	}
}

static void compile_type(struct compiler *c, uint32_t id, uint32_t offset, int depth)
{
	const struct btf_type *t = resolve(c, id, NULL);
	uint32_t i;

	if (depth > BTF_MAX_DEPTH)
		luaL_error(c->b.L, "malformed BTF: types are nested too deeply");
	luaL_checkstack(c->b.L, 10, NULL);
	switch (btf_kind(t)) {
	case BTF_KIND_INT:
		compile_int(c, id, offset, t);
		break;
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		compile_enum(c, id, offset, t);
		break;
	case BTF_KIND_FLOAT:
		add_node(c, t->size == 4 ? LBPF_F32 : t->size == 8 ? LBPF_F64 : LBPF_RAW, id, offset, t->size);
		break;
	case BTF_KIND_PTR:
		add_node(c, btf__pointer_size(c->btf) == 4 ? LBPF_U32 : LBPF_U64, id, offset,
			 (uint32_t)(btf__pointer_size(c->btf) == 4 ? 4 : 8));
		break;
	case BTF_KIND_ARRAY:
		compile_array(c, id, offset, t, depth);
		break;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
	case BTF_KIND_DATASEC:
		i = add_node(c, LBPF_STRUCT, id, offset, t->size);
		if (btf_is_datasec(t))
			compile_datasec(c, i, t, depth);
		else
			compile_members(c, i, t, 0, false, depth);
		lbpf_build_close(&c->b, i);
		break;
	default:
		push_ctype(c, id, 0);
		luaL_error(c->b.L, "'%s' has no size, so it has no values", lua_tostring(c->b.L, -1));
	}
}

struct lbpf_type *lbpf_btf_compile(lua_State *L, const struct btf *btf, uint32_t id)
{
	struct compiler c = { .btf = btf };

	lbpf_build_begin(L, &c.b);
	compile_type(&c, id, 0, 0);
	c.b.owned |= is_kernel_owned(&c, id);
	return lbpf_build_end(&c.b);
}
