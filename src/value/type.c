/* SPDX-License-Identifier: MIT */
/* Type handles: what scripts can ask about a plan. */
#include "value/type.h"

#include "base/arg.h"
#include "value/codec.h"

static void type_release(lua_State *L, int idx, void *self)
{
	struct lbpf_type *type = self;

	(void)idx;
	luaL_unref(L, LUA_REGISTRYINDEX, type->names);
	type->names = LUA_NOREF;
}

static void type_init(void *self)
{
	((struct lbpf_type *)self)->names = LUA_NOREF;
}

/*** Returns the size of a value in bytes, without a flexible array at its end.
@function type:size
@treturn integer bytes
@usage
assert(bpf.btf.type("struct hit { __u64 count; char comm[16]; }"):size() == 24) */
static int type_size(lua_State *L)
{
	struct lbpf_type *type = lbpf_class_check(L, 1, &lbpf_type_class);

	lua_pushinteger(L, type->size);
	return 1;
}

/*** Returns the C name of the type.
@function type:name
@treturn string such as "struct event" or "unsigned int [4]"
@usage
print(bpf.btf.type("struct hit { __u64 count; }"):name())  -- struct hit */
static int type_name(lua_State *L)
{
	struct lbpf_type *type = lbpf_class_check(L, 1, &lbpf_type_class);

	lua_pushstring(L, type->node[0].ctype);
	return 1;
}

/*** Encodes a Lua value as the bytes of the C type. A value that doesn't fit raises an error that names the member.
@function type:encode
@param value as in the [table of values](#types-and-values)
@treturn string exactly `type:size()` bytes
@usage
local flow = bpf.btf.type "struct flow { __u8 protocol; _Bool open; }"
assert(flow:encode { protocol = 6, open = true } == "\6\1") */
static int type_encode(lua_State *L)
{
	struct lbpf_type *type = lbpf_class_check(L, 1, &lbpf_type_class);
	void *buf;

	luaL_checkany(L, 2);
	buf = lua_newuserdatauv(L, type->size ? type->size : 1, 0);
	lbpf_encode(L, type, 2, buf, "value");
	lua_pushlstring(L, buf, type->size);
	return 1;
}

/*** Decodes bytes of the C type to a Lua value.
@function type:decode
@tparam string bytes at least `type:size()` of them; further bytes fill a flexible array
@return the value; too few bytes raise an error
@usage
local flow = bpf.btf.type "struct flow { __u8 protocol; _Bool open; }"
local value = flow:decode "\6\1"
assert(value.protocol == 6 and value.open == true) */
static int type_decode(lua_State *L)
{
	struct lbpf_type *type = lbpf_class_check(L, 1, &lbpf_type_class);
	size_t len;
	const char *buf = luaL_checklstring(L, 2, &len);

	lbpf_check_length(L, type, len, "bytes");
	lbpf_decode(L, type, buf, len);
	return 1;
}

/* Sets what a member is called, and where in its struct it is, in the table at the top. */
static void set_place(lua_State *L, const struct lbpf_node *m)
{
	lbpf_set_string(L, "name", m->label);
	lbpf_set_integer(L, "offset", m->offset);
	lbpf_set_integer(L, "bit_offset", 8 * (lua_Integer)m->offset + m->bit);
	if (m->bits)
		lbpf_set_integer(L, "bits", m->bits);
}

static void push_member(lua_State *L, const struct lbpf_node *m)
{
	lua_createtable(L, 0, 6);
	set_place(L, m);
	lbpf_set_string(L, "type", m->ctype);
	lbpf_set_integer(L, "size", m->size);
}

/*** Returns the members of a struct or union in declaration order, including those of anonymous members.
@function type:members
@treturn {table,...} each `{ name =, type =, offset =, size =, bit_offset =, bits = }`. offset and size are in bytes,
 bit_offset counts from the start of the struct, bits is there for bit-fields only. A type without members has an empty
 sequence
@usage
for _, member in ipairs(bpf.btf.type("struct hit { __u64 count; char comm[16]; }"):members()) do
  print(member.offset, member.type, member.name)  -- 0  __u64  count, then 8  char[16]  comm
end */
static int type_members(lua_State *L)
{
	struct lbpf_type *type = lbpf_class_check(L, 1, &lbpf_type_class);
	const struct lbpf_node *n = type->node, *m = n + 1;
	uint32_t count = n->kind == LBPF_STRUCT ? n->count : 0;

	lua_createtable(L, (int)count, 0);
	for (uint32_t i = 0; i < count; i++, m = n + m->next) {
		push_member(L, m);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

static const char *const kind_names[] = {
	[LBPF_U8] = "unsigned",	 [LBPF_U16] = "unsigned",  [LBPF_U32] = "unsigned",  [LBPF_U64] = "unsigned",
	[LBPF_S8] = "signed",	 [LBPF_S16] = "signed",	   [LBPF_S32] = "signed",    [LBPF_S64] = "signed",
	[LBPF_BOOL] = "boolean", [LBPF_F32] = "float",	   [LBPF_F64] = "float",     [LBPF_UBITS] = "unsigned",
	[LBPF_SBITS] = "signed", [LBPF_BBITS] = "boolean", [LBPF_CHARS] = "string",  [LBPF_BYTES] = "bytes",
	[LBPF_RAW] = "bytes",	 [LBPF_ARRAY] = "array",   [LBPF_STRUCT] = "struct",
};

/* Sets the field `enumerators` of the table at the top: { value = name }. If several names have the same value, one of
 * them is used. */
static void push_enumerators(lua_State *L, const struct lbpf_type *type, const struct lbpf_node *n)
{
	int top = lua_gettop(L);

	lua_newtable(L);
	lbpf_type_push_names(L, type);
	lua_rawgeti(L, -1, n->enums);
	for (lua_pushnil(L); lua_next(L, top + 3); lua_pop(L, 1)) {
		if (!lua_isinteger(L, -1)) /* its value isn't known */
			continue;
		lua_pushvalue(L, -1);
		lua_pushvalue(L, -3);
		lua_rawset(L, top + 1);
	}
	lua_settop(L, top + 1);
	lua_setfield(L, top, "enumerators");
}

/* Pushes what type:layout returns for a node and its subtree. */
static void push_layout(lua_State *L, const struct lbpf_type *type, const struct lbpf_node *n)
{
	const struct lbpf_node *m = n + 1;

	luaL_checkstack(L, 8, NULL);
	lua_createtable(L, 0, 5);
	lbpf_set_string(L, "kind", kind_names[n->kind]);
	lbpf_set_string(L, "type", n->ctype);
	lbpf_set_integer(L, "size", n->size);
	if (n->name)
		set_place(L, n);
	if (n->enums)
		push_enumerators(L, type, n);
	if (n->kind == LBPF_ARRAY) {
		push_layout(L, type, m);
		lua_setfield(L, -2, "element");
	}
	for (uint32_t i = 0; n->kind == LBPF_STRUCT && i < n->count; i++, m = type->node + m->next) {
		push_layout(L, type, m);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
}

/*** Returns what values of the type consist of, at every depth. Use it to print or convert values.
@function type:layout
@treturn table `{ kind =, type =, size = }`. kind is "unsigned", "signed", "boolean", "float", "string" (char[N]),
 "bytes", "array" or "struct"; type is the C name. An array has an element. A struct or union is a sequence of its
 members, which have name, offset, bit_offset and bits, as `type:members()` has them. An enum has enumerators,
 `{ [value] = name }`. The struct itself may have lock, the offset of its struct bpf_spin_lock
@usage
local layout = bpf.btf.type("struct hit { __u64 count; char comm[16]; }"):layout()
print(layout.kind, layout[2].name, layout[2].kind)  -- struct  comm  string */
static int type_layout(lua_State *L)
{
	struct lbpf_type *type = lbpf_class_check(L, 1, &lbpf_type_class);

	push_layout(L, type, type->node);
	if (type->lock >= 0)
		lbpf_set_integer(L, "lock", type->lock);
	return 1;
}

static int type_tostring(lua_State *L)
{
	struct lbpf_type *type = lbpf_class_check(L, 1, &lbpf_type_class);

	lua_pushfstring(L, "bpf.type: %s (%I bytes)", type->node[0].ctype, (LUAI_UACINT)type->size);
	return 1;
}

static const luaL_Reg type_methods[] = {
	{ "size", type_size },
	{ "name", type_name },
	{ "encode", type_encode },
	{ "decode", type_decode },
	{ "members", type_members },
	{ "layout", type_layout },
	{ NULL, NULL },
};

static const luaL_Reg type_meta[] = {
	{ "__tostring", type_tostring },
	{ NULL, NULL },
};

const struct lbpf_class lbpf_type_class = {
	.name = "bpf.type",
	.methods = type_methods,
	.meta = type_meta,
	.init = type_init,
	.release = type_release,
	.lasting = true,
};

void lbpf_type_open(lua_State *L)
{
	lbpf_class_register(L, &lbpf_type_class);
}
