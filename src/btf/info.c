/* SPDX-License-Identifier: MIT */
/* Describes BTF types as Lua tables: `{ kind = "struct", name = "hit", size = 24, members = { … } }`.
 *
 * Tables are created while the collector is stopped, because a finalizer could close the handle or its object
 * meanwhile. The BTF was checked when it was read, so ids and names exist. Nothing else in it is trusted. */
#include "btf/info.h"

#include <stdbool.h>
#include <string.h>

#include <lauxlib.h>

#include "base/arg.h"
#include "btf/cname.h"
#include "cdecl/btfenum.h"

enum {
	ALIASES_MAX = 64,
};

/* Names of kinds, by number. C doesn't distinguish enums of 64 bits, so both kinds are "enum". */
static const char *const kinds[] = {
	[BTF_KIND_UNKN] = "void",	  [BTF_KIND_INT] = "int",
	[BTF_KIND_PTR] = "ptr",		  [BTF_KIND_ARRAY] = "array",
	[BTF_KIND_STRUCT] = "struct",	  [BTF_KIND_UNION] = "union",
	[BTF_KIND_ENUM] = "enum",	  [BTF_KIND_FWD] = "fwd",
	[BTF_KIND_TYPEDEF] = "typedef",	  [BTF_KIND_VOLATILE] = "volatile",
	[BTF_KIND_CONST] = "const",	  [BTF_KIND_RESTRICT] = "restrict",
	[BTF_KIND_FUNC] = "func",	  [BTF_KIND_FUNC_PROTO] = "func_proto",
	[BTF_KIND_VAR] = "var",		  [BTF_KIND_DATASEC] = "datasec",
	[BTF_KIND_FLOAT] = "float",	  [BTF_KIND_DECL_TAG] = "decl_tag",
	[BTF_KIND_TYPE_TAG] = "type_tag",
};

static const char *kind_name(const struct btf_type *t)
{
	uint32_t kind = btf_kind(t);

	if (kind == BTF_KIND_ENUM64)
		kind = BTF_KIND_ENUM;
	return kind < sizeof(kinds) / sizeof(*kinds) && kinds[kind] ? kinds[kind] : "unknown";
}

/* The kind whose name is at idx, or 0 if there is no argument. Raises for an unknown name. */
static uint32_t check_kind(lua_State *L, int idx)
{
	struct lbpf_name names[sizeof(kinds) / sizeof(*kinds)];
	const char *name = lua_isnoneornil(L, idx) ? NULL : lbpf_arg_string(L, idx);
	uint32_t n = 0;

	if (!name)
		return 0;
	for (uint32_t i = BTF_KIND_INT; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (strcmp(kinds[i], name) == 0)
			return i;
		names[n++] = (struct lbpf_name){ kinds[i], i };
	}
	names[n] = (struct lbpf_name){ NULL, 0 };
	lbpf_name_unknown(L, names, "kind of type", name);
}

static bool has_kind(const struct btf_type *t, uint32_t kind)
{
	return !kind || btf_kind(t) == kind || (kind == BTF_KIND_ENUM && btf_kind(t) == BTF_KIND_ENUM64);
}

/* ---- handles and arguments ---- */

struct lbpf_btf *lbpf_btf_check(lua_State *L)
{
	struct lbpf_btf *handle = lbpf_class_check(L, 1, &lbpf_btf_class);

	if (!handle->btf)
		luaL_error(L, "BTF of %s is closed", handle->name);
	return handle;
}

int lbpf_btf_undisturbed(lua_State *L, lua_CFunction fn)
{
	luaL_checkstack(L, 20, NULL);
	lua_pushcfunction(L, fn);
	lua_insert(L, 1);
	lbpf_call_undisturbed(L, lua_gettop(L) - 1, LUA_MULTRET);
	return lua_gettop(L);
}

void lbpf_btf_check_which(lua_State *L)
{
	if (lua_type(L, 2) == LUA_TNUMBER)
		lbpf_arg_int(L, 2, INT64_MIN, INT64_MAX);
	else
		luaL_argexpected(L, lua_type(L, 2) == LUA_TSTRING, 2, "name or id of a type");
}

/* The first type of this name and kind, or -1. */
static int64_t find_kind(const struct btf *btf, const char *name, uint32_t kind)
{
	int id = kind ? btf__find_by_name_kind(btf, name, kind) : btf__find_by_name(btf, name);

	if (id <= 0 && kind == BTF_KIND_ENUM)
		id = btf__find_by_name_kind(btf, name, BTF_KIND_ENUM64);
	return id > 0 ? id : -1;
}

int64_t lbpf_btf_which(lua_State *L, const struct lbpf_btf *handle, int kind)
{
	const char *name;
	uint32_t id;

	if (lua_type(L, 2) == LUA_TNUMBER) {
		lua_Integer n = lua_tointeger(L, 2);

		if (n < 0 || n >= btf__type_cnt(handle->btf))
			return -1;
		return has_kind(lbpf_btf_type_at(L, handle->btf, (uint32_t)n), (uint32_t)kind) ? n : -1;
	}
	name = lua_tostring(L, 2);
	if (!*name || strlen(name) != lua_rawlen(L, 2))
		return -1;
	id = kind ? 0 : lbpf_btf_find_name(handle->btf, name);
	if (!id && strcmp(name, "void") == 0 && !kind)
		return 0;
	return id ? id : find_kind(handle->btf, name, (uint32_t)kind);
}

uint32_t lbpf_btf_need(lua_State *L, const struct lbpf_btf *handle)
{
	int64_t id = lbpf_btf_which(L, handle, 0);

	if (id < 0)
		luaL_error(L, "there is no type '%s' in the BTF of %s", lbpf_arg_show(L, 2), handle->name);
	return (uint32_t)id;
}

/* ---- descriptions ---- */

/* Sets the fields <key> and <key>_id of the table at the top: the C name of a type, and its id. */
static void set_type(lua_State *L, const struct btf *btf, const char *key, uint32_t id)
{
	lbpf_btf_push_cname(L, btf, id);
	lua_setfield(L, -2, key);
	lua_pushfstring(L, "%s_id", key);
	lua_pushinteger(L, id);
	lua_rawset(L, -3);
}

/* Sets the name of the table at the top, if it has one. */
static void set_name(lua_State *L, const struct btf *btf, uint32_t offset)
{
	const char *name = lbpf_btf_name_at(btf, offset);

	if (*name)
		lbpf_set_string(L, "name", name);
}

/* Sets the size of a type, if it has one. */
static void set_size(lua_State *L, const struct btf *btf, uint32_t id)
{
	int64_t size = id ? btf__resolve_size(btf, id) : -1;

	if (size >= 0)
		lbpf_set_integer(L, "size", size);
}

static void set_flag(lua_State *L, const char *key)
{
	lua_pushboolean(L, 1);
	lua_setfield(L, -2, key);
}

static void set_members(lua_State *L, const struct btf *btf, const struct btf_type *t)
{
	uint16_t n = btf_vlen(t);

	lua_createtable(L, n, 0);
	for (uint16_t i = 0; i < n; i++) {
		uint32_t bit = btf_member_bit_offset(t, i), bits = btf_member_bitfield_size(t, i);

		lua_createtable(L, 0, 8);
		set_name(L, btf, btf_members(t)[i].name_off);
		set_type(L, btf, "type", btf_members(t)[i].type);
		set_size(L, btf, btf_members(t)[i].type);
		lbpf_set_integer(L, "offset", bit / 8);
		lbpf_set_integer(L, "bit_offset", bit);
		if (bits)
			lbpf_set_integer(L, "bits", bits);
		lua_rawseti(L, -2, i + 1);
	}
	lua_setfield(L, -2, "members");
}

static void set_enumerators(lua_State *L, const struct btf *btf, const struct btf_type *t)
{
	bool is_cut = lbpf_btfenum_is_cut(t), is_signed = lbpf_btfenum_is_signed(btf, t);
	uint16_t n = btf_vlen(t);
	uint32_t name;

	if (is_cut)
		set_flag(L, "cut");
	else if (is_signed)
		set_flag(L, "signed");
	lua_createtable(L, 0, n);
	lua_createtable(L, n, 0);
	for (uint16_t i = 0; i < n; i++) {
		lua_Integer value = (lua_Integer)lbpf_btfenum_value(t, i, is_signed, &name);

		lua_createtable(L, 0, 2);
		lbpf_set_string(L, "name", lbpf_btf_name_at(btf, name));
		lbpf_set_integer(L, is_cut ? "lower" : "value", value);
		lua_rawseti(L, -2, i + 1);
		if (is_cut)
			continue;
		lua_pushstring(L, lbpf_btf_name_at(btf, name));
		lua_pushinteger(L, value);
		lua_rawset(L, -4);
	}
	lua_setfield(L, -3, "enumerators");
	lua_setfield(L, -2, "values");
}

static void set_proto(lua_State *L, const struct btf *btf, const struct btf_type *proto)
{
	const struct btf_param *param = btf_params(proto);
	uint16_t n = btf_vlen(proto);
	bool variadic = n && !param[n - 1].type && !param[n - 1].name_off;

	if (variadic) {
		set_flag(L, "variadic");
		n--;
	}
	lua_createtable(L, n, 0);
	for (uint16_t i = 0; i < n; i++) {
		lua_createtable(L, 0, 4);
		set_name(L, btf, param[i].name_off);
		set_type(L, btf, "type", param[i].type);
		lua_rawseti(L, -2, i + 1);
	}
	lua_setfield(L, -2, "params");
	set_type(L, btf, "returns", proto->type);
}

static void set_variables(lua_State *L, const struct btf *btf, const struct btf_type *t)
{
	const struct btf_var_secinfo *var = btf_var_secinfos(t);
	uint16_t n = btf_vlen(t);

	lua_createtable(L, n, 0);
	for (uint16_t i = 0; i < n; i++) {
		lua_createtable(L, 0, 8);
		set_name(L, btf, lbpf_btf_type_at(L, btf, var[i].type)->name_off);
		set_type(L, btf, "type", var[i].type);
		lbpf_set_integer(L, "offset", var[i].offset);
		lbpf_set_integer(L, "size", var[i].size);
		lua_rawseti(L, -2, i + 1);
	}
	lua_setfield(L, -2, "vars");
}

static void set_int(lua_State *L, const struct btf_type *t)
{
	uint8_t encoding = btf_int_encoding(t);

	if (encoding & BTF_INT_SIGNED)
		set_flag(L, "signed");
	if (encoding & BTF_INT_CHAR)
		set_flag(L, "char");
	if (encoding & BTF_INT_BOOL)
		set_flag(L, "bool");
	if (btf_int_bits(t) != t->size * 8)
		lbpf_set_integer(L, "bits", btf_int_bits(t));
}

static void set_linkage(lua_State *L, uint32_t linkage)
{
	static const char *const names[] = { "static", "global", "extern" };

	if (linkage < sizeof(names) / sizeof(*names))
		lbpf_set_string(L, "linkage", names[linkage]);
}

/* Adds the fields that only this kind has. */
static void set_details(lua_State *L, const struct btf *btf, const struct btf_type *t)
{
	switch (btf_kind(t)) {
	case BTF_KIND_INT:
		set_int(L, t);
		break;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		set_members(L, btf, t);
		break;
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		set_enumerators(L, btf, t);
		break;
	case BTF_KIND_ARRAY:
		set_type(L, btf, "type", btf_array(t)->type);
		lbpf_set_integer(L, "count", btf_array(t)->nelems);
		break;
	case BTF_KIND_FUNC_PROTO:
		set_proto(L, btf, t);
		break;
	case BTF_KIND_FUNC:
		set_type(L, btf, "type", t->type);
		set_linkage(L, btf_vlen(t));
		if (btf_is_func_proto(lbpf_btf_type_at(L, btf, t->type)))
			set_proto(L, btf, lbpf_btf_type_at(L, btf, t->type));
		break;
	case BTF_KIND_VAR:
		set_type(L, btf, "type", t->type);
		set_linkage(L, btf_var(t)->linkage);
		break;
	case BTF_KIND_DATASEC:
		set_variables(L, btf, t);
		break;
	case BTF_KIND_FWD:
		lbpf_set_string(L, "of", btf_kflag(t) ? "union" : "struct");
		break;
	case BTF_KIND_DECL_TAG:
		set_type(L, btf, "type", t->type);
		if (btf_decl_tag(t)->component_idx >= 0)
			lbpf_set_integer(L, "component", btf_decl_tag(t)->component_idx + 1);
		break;
	case BTF_KIND_UNKN:
	case BTF_KIND_FLOAT:
		break;
	default:
		set_type(L, btf, "type", t->type);
	}
}

static void push_description(lua_State *L, const struct btf *btf, uint32_t id)
{
	const struct btf_type *t = lbpf_btf_type_at(L, btf, id);

	lua_createtable(L, 0, 8);
	lbpf_set_string(L, "kind", kind_name(t));
	lbpf_set_integer(L, "id", id);
	set_name(L, btf, t->name_off);
	if (btf_is_datasec(t))
		lbpf_set_integer(L, "size", t->size);
	else if (!btf_is_func(t) && btf_kind(t) != BTF_KIND_DECL_TAG)
		set_size(L, btf, id);
	set_details(L, btf, t);
}

/* ---- methods ---- */

static int find(lua_State *L)
{
	struct lbpf_btf *handle = lbpf_btf_check(L);
	int64_t id = lbpf_btf_which(L, handle, (int)check_kind(L, 3));

	if (id < 0)
		lua_pushnil(L);
	else
		push_description(L, handle->btf, (uint32_t)id);
	return 1;
}

/*** Finds a type and returns its description.
@function btf:find
@tparam string|integer which a name such as "struct task_struct", "pid_t" or "vfs_read"; or an id
@tparam ?string kind as in the descriptions: finds only types of this kind, by their plain name
@treturn table|nil the [description](#descriptions-of-types), or nil if there is no such type
@usage
local hit = btf:find "struct hit"
print(hit.kind, hit.size, hit.members[1].name)  -- struct  24  count
assert(btf:find("verdict", "enum").values.DROP == 1)
@see btf__find_by_name_kind */
int lbpf_btf_find(lua_State *L)
{
	lbpf_btf_check(L);
	lbpf_btf_check_which(L);
	check_kind(L, 3);
	lua_settop(L, 3);
	return lbpf_btf_undisturbed(L, find);
}

static int resolve(lua_State *L)
{
	struct lbpf_btf *handle = lbpf_btf_check(L);
	int64_t id = lbpf_btf_which(L, handle, 0);

	for (int i = 0; id > 0; i++) {
		const struct btf_type *t = lbpf_btf_type_at(L, handle->btf, (uint32_t)id);

		if (!btf_is_mod(t) && !btf_is_typedef(t) && btf_kind(t) != BTF_KIND_TYPE_TAG && !btf_is_var(t))
			break;
		if (i == ALIASES_MAX)
			luaL_error(L, "malformed BTF: type %I refers to itself", (LUAI_UACINT)id);
		id = t->type;
	}
	if (id < 0)
		lua_pushnil(L);
	else
		push_description(L, handle->btf, (uint32_t)id);
	return 1;
}

/*** Follows typedefs, `const`, `volatile`, `restrict`, type tags and variables to a type, and returns its description.
@function btf:resolve
@tparam string|integer which a name, or an id such as a member's `type_id`
@treturn table|nil the [description](#descriptions-of-types), or nil if there is no such type
@usage
assert(btf:find("hit_t").kind == "typedef")
assert(btf:resolve("hit_t").kind == "struct") */
int lbpf_btf_resolve(lua_State *L)
{
	lbpf_btf_check(L);
	lbpf_btf_check_which(L);
	lua_settop(L, 2);
	return lbpf_btf_undisturbed(L, resolve);
}

/* Pushes the description of the first type with the kind at 3, from the id at 2 on, and the next id; or nothing. */
static int next_type(lua_State *L)
{
	struct lbpf_btf *handle = lbpf_btf_check(L);
	uint32_t id = (uint32_t)lua_tointeger(L, 2), kind = (uint32_t)lua_tointeger(L, 3);

	for (; id < btf__type_cnt(handle->btf); id++)
		if (has_kind(lbpf_btf_type_at(L, handle->btf, id), kind)) {
			push_description(L, handle->btf, id);
			lua_pushinteger(L, (lua_Integer)id + 1);
			return 2;
		}
	return 0;
}

static int types_next(lua_State *L)
{
	lua_settop(L, 0);
	for (int i = 1; i <= 3; i++)
		lua_pushvalue(L, lua_upvalueindex(i));
	lbpf_btf_check(L);
	if (lbpf_btf_undisturbed(L, next_type) == 0)
		return 0;
	lua_replace(L, lua_upvalueindex(2));
	return 1;
}

/*** Iterates over types in the order of their ids: `for t in btf:types("struct") do`. In the BTF of a module, that is
the module's own types, without the kernel's.
@function btf:types
@tparam ?string kind as in the descriptions; nil for all kinds
@treturn function iterator over [descriptions](#descriptions-of-types)
@usage
for t in btf:types "struct" do
  print(t.name, t.size)  -- hit  24
end */
int lbpf_btf_types(lua_State *L)
{
	struct lbpf_btf *handle = lbpf_btf_check(L);
	const struct btf *base = btf__base_btf(handle->btf);
	uint32_t kind = check_kind(L, 2);

	lua_settop(L, 1);
	lua_pushinteger(L, base ? btf__type_cnt(base) : 1);
	lua_pushinteger(L, kind);
	lua_pushcclosure(L, types_next, 3);
	return 1;
}
