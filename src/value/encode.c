/* SPDX-License-Identifier: MIT */
/* Encoding: Lua values to bytes, by the plan of a type.
 *
 * Encoding runs no Lua code. The buffer must be zero before, because for the kernel padding is part of a key. A chain
 * of frames on the C stack records the path to the current member; it is read only for the message of an error. */
#include <math.h>
#include <string.h>

#include "base/arg.h"
#include "value/bits.h"
#include "value/codec.h"

struct frame {
	const struct frame *up;
	const struct lbpf_node *node;
	lua_Integer index; /* the index of the array element that is being written */
};

struct encoder {
	lua_State *L;
	const struct lbpf_type *type;
	const char *what;
	const uint8_t *end; /* type of the value */
};

const struct lbpf_range lbpf_ranges[] = {
	[LBPF_U8] = { 1, 0, UINT8_MAX },	  [LBPF_U16] = { 2, 0, UINT16_MAX },
	[LBPF_U32] = { 4, 0, UINT32_MAX },	  [LBPF_U64] = { 8, INT64_MIN, INT64_MAX },
	[LBPF_S8] = { 1, INT8_MIN, INT8_MAX },	  [LBPF_S16] = { 2, INT16_MIN, INT16_MAX },
	[LBPF_S32] = { 4, INT32_MIN, INT32_MAX }, [LBPF_S64] = { 8, INT64_MIN, INT64_MAX },
};

/* ---- errors ---- */

/* Pushes the path to node n, "value.addr.ports[3]". The innermost frame is that of the value that contains the node. */
static void push_path(const struct encoder *e, const struct frame *f, const struct lbpf_node *n)
{
	lua_State *L = e->L;

	if (!f) {
		lua_pushstring(L, e->what);
		return;
	}
	luaL_checkstack(L, 4, NULL);
	push_path(e, f->up, f->node);
	if (f->node->kind == LBPF_STRUCT && n->label)
		lua_pushfstring(L, "%s.%s", lua_tostring(L, -1), n->label);
	else if (f->node->kind != LBPF_STRUCT)
		lua_pushfstring(L, "%s[%I]", lua_tostring(L, -1), (LUAI_UACINT)f->index);
	else
		return;
	lua_remove(L, -2);
}

__attribute__((noinline)) _Noreturn static void encode_fail(const struct encoder *e, const struct frame *f,
							    const struct lbpf_node *n, const char *fmt, ...)
{
	va_list args;

	luaL_checkstack(e->L, 8, NULL);
	lbpf_where(e->L, 1);
	push_path(e, f, n);
	lua_pushliteral(e->L, ": ");
	va_start(args, fmt);
	lua_pushvfstring(e->L, fmt, args);
	va_end(args);
	lua_concat(e->L, 4);
	lua_error(e->L);
	__builtin_unreachable();
}

/* Pushes a hint for scripts that call m:close(), which looks up the key "close" in the map; or "". */
static const char *push_hint(const struct encoder *e, const struct frame *f, int idx)
{
	lua_State *L = e->L;
	const char *name = lua_type(L, idx) == LUA_TSTRING ? lua_tostring(L, idx) : NULL;
	int top = lua_gettop(L);

	luaL_checkstack(L, 5, NULL);
	if (!f && name && strcmp(e->what, "key") == 0 &&
	    lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE) == LUA_TTABLE &&
	    lua_getfield(L, -1, "bpf.core") == LUA_TTABLE && lua_getfield(L, -1, "map") == LUA_TTABLE &&
	    lua_getfield(L, -1, name) == LUA_TFUNCTION)
		return lua_pushfstring(L, "; operations are functions: bpf.map.%s(m)", name);
	lua_settop(L, top);
	return lua_pushliteral(L, "");
}

_Noreturn static void fail_type(const struct encoder *e, const struct frame *f, const struct lbpf_node *n, int idx,
				const char *expected)
{
	/* Pushing changes what a relative idx refers to. */
	const char *got = luaL_typename(e->L, idx), *hint = push_hint(e, f, idx);

	encode_fail(e, f, n, "%s expected for %s, got %s%s", expected, n->ctype, got, hint);
}

_Noreturn static void fail_range(const struct encoder *e, const struct frame *f, const struct lbpf_node *n, int idx)
{
	const char *text = luaL_tolstring(e->L, idx, NULL);

	if (n->bits)
		encode_fail(e, f, n, "%s does not fit in the %d bits of %s", text, n->bits, n->ctype);
	encode_fail(e, f, n, "%s does not fit in %s", text, n->ctype);
}

/* Appends a name to the list at the end of a message, a string at stack index `list`. A long list is cut. */
static void list_add(lua_State *L, int list, int *listed, const char *name)
{
	if (++*listed > 20)
		return;
	lua_pushfstring(L, "%s%s%s", lua_tostring(L, list), *listed > 1 ? ", " : "", *listed == 20 ? "…" : name);
	lua_replace(L, list);
}

_Noreturn static void fail_member(const struct encoder *e, const struct frame *f, const struct lbpf_node *n,
				  const char *name)
{
	const struct lbpf_node *m = n + 1;
	int listed = 0, list;

	lua_pushliteral(e->L, "");
	list = lua_gettop(e->L);
	for (uint32_t i = 0; i < n->count; i++, m = e->type->node + m->next)
		list_add(e->L, list, &listed, m->label);
	encode_fail(e, f, n, "%s has no member '%s' (members: %s)", n->ctype, name, lua_tostring(e->L, list));
}

_Noreturn static void fail_enumerator(const struct encoder *e, const struct frame *f, const struct lbpf_node *n,
				      const char *name, int enums)
{
	lua_State *L = e->L;
	int listed = 0, list;

	luaL_checkstack(L, 8, NULL);
	lua_pushliteral(L, "");
	list = lua_gettop(L);
	for (lua_pushnil(L); lua_next(L, enums); lua_pop(L, 1))
		list_add(L, list, &listed, lua_tostring(L, -2));
	encode_fail(e, f, n, "%s has no enumerator '%s' (enumerators: %s)", n->ctype, name, lua_tostring(L, list));
}

/* ---- values ---- */

static lua_Integer enumerator_value(const struct encoder *e, const struct frame *f, const struct lbpf_node *n, int idx)
{
	lua_State *L = e->L;
	lua_Integer value;
	int enums;

	luaL_checkstack(L, 6, NULL);
	idx = lua_absindex(L, idx);
	lbpf_type_push_names(L, e->type);
	lua_rawgeti(L, -1, n->enums);
	enums = lua_gettop(L);
	lua_pushvalue(L, idx);
	switch (lua_rawget(L, -2)) {
	case LUA_TNIL:
		fail_enumerator(e, f, n, lbpf_arg_show(L, idx), enums);
	case LUA_TBOOLEAN:
		encode_fail(e, f, n, "the value of '%s' isn't known: the BTF has half of it; a number is wanted",
			    lua_tostring(L, idx));
	default:
		break;
	}
	value = lua_tointeger(L, -1);
	lua_pop(L, 3);
	return value;
}

/* The integer value of a float that is an integer (up to 2^64 for unsigned 64 bits), or of an enumerator's name. */
__attribute__((noinline)) static lua_Integer to_integer_slow(const struct encoder *e, const struct frame *f,
							     const struct lbpf_node *n, int idx)
{
	lua_Number d;
	int ok;
	lua_Integer value;

	if (n->enums && lua_type(e->L, idx) == LUA_TSTRING)
		return enumerator_value(e, f, n, idx);
	if (lua_type(e->L, idx) != LUA_TNUMBER)
		fail_type(e, f, n, idx, n->enums ? "integer or enumerator" : "integer");
	value = lua_tointegerx(e->L, idx, &ok);
	if (ok)
		return value;
	d = lua_tonumber(e->L, idx);
	if (d != (lua_Number)floor((double)d))
		encode_fail(e, f, n, "%s is not an integer, as %s needs", luaL_tolstring(e->L, idx, NULL), n->ctype);
	if (n->kind != LBPF_U64 || d < 9223372036854775808.0 || d >= 18446744073709551616.0)
		fail_range(e, f, n, idx);
	return (lua_Integer)(uint64_t)d;
}

static inline lua_Integer to_integer(const struct encoder *e, const struct frame *f, const struct lbpf_node *n, int idx)
{
	if (lbpf_likely(lua_isinteger(e->L, idx)))
		return lua_tointeger(e->L, idx);
	return to_integer_slow(e, f, n, idx);
}

static lua_Integer to_boolean(const struct encoder *e, const struct frame *f, const struct lbpf_node *n, int idx)
{
	lua_Integer value;

	if (lua_isboolean(e->L, idx))
		return lua_toboolean(e->L, idx);
	if (lua_type(e->L, idx) != LUA_TNUMBER)
		fail_type(e, f, n, idx, "boolean, 0 or 1");
	value = to_integer(e, f, n, idx);
	if (value != 0 && value != 1)
		fail_range(e, f, n, idx);
	return value;
}

static void encode_float(const struct encoder *e, const struct frame *f, const struct lbpf_node *n, int idx, uint8_t *p)
{
	double d;
	float s;

	if (lua_type(e->L, idx) != LUA_TNUMBER)
		fail_type(e, f, n, idx, "number");
	d = (double)lua_tonumber(e->L, idx);
	if (n->kind == LBPF_F64) {
		memcpy(p, &d, sizeof(d));
		return;
	}
	memcpy(&s, p, sizeof(s));
	/* An existing NaN keeps its bytes, for the same reason as a bool; see encode_node. */
	if (isnan(s) && isnan(d))
		return;
	s = (float)d;
	if (isinf(s) && !isinf(d))
		fail_range(e, f, n, idx);
	memcpy(p, &s, sizeof(s));
}

static void encode_bits(const struct encoder *e, const struct frame *f, const struct lbpf_node *n, int idx, uint8_t *p)
{
	lua_Integer value, high;

	if (n->kind == LBPF_BBITS) {
		value = to_boolean(e, f, n, idx);
		if (value != (lbpf_bits_load(n, p) != 0))
			lbpf_bits_store(n, p, (uint64_t)value);
		return;
	}
	value = to_integer(e, f, n, idx);
	if (n->bits < 64) {
		high = value >> (n->kind == LBPF_SBITS ? n->bits - 1 : n->bits);
		if (high != 0 && !(n->kind == LBPF_SBITS && high == -1))
			fail_range(e, f, n, idx);
	}
	lbpf_bits_store(n, p, (uint64_t)value);
}

/* How many bytes an array may take. A flexible array may use the padding that follows it. */
static size_t array_room(const struct encoder *e, const struct lbpf_node *n, const uint8_t *p)
{
	return lbpf_unlikely(n->flexible && !n->beyond) ? (size_t)(e->end - p) : n->size;
}

static void encode_string(const struct encoder *e, const struct frame *f, const struct lbpf_node *n, int idx,
			  uint8_t *p)
{
	size_t len, room = array_room(e, n, p);
	bool any = n->kind == LBPF_CHARS || n->flexible;
	const char *s;

	if (lua_type(e->L, idx) != LUA_TSTRING)
		fail_type(e, f, n, idx, "string");
	s = lua_tolstring(e->L, idx, &len);
	if (any && len > room)
		encode_fail(e, f, n, "%I bytes do not fit in %s", (LUAI_UACINT)len, n->ctype);
	if (!any && len != room)
		encode_fail(e, f, n, "%s takes %I bytes, got %I", n->ctype, (LUAI_UACINT)room, (LUAI_UACINT)len);
	memcpy(p, s, len);
	if (len < room)
		p[len] = 0; /* another member of a union may have written these bytes */
}

static void encode_node(const struct encoder *e, const struct frame *up, const struct lbpf_node *n, int idx,
			uint8_t *p);

/* Every key of the table must be checked: a key that is no index must not be ignored silently. */
static void encode_sequence(const struct encoder *e, const struct frame *up, const struct lbpf_node *n, uint32_t count,
			    const struct lbpf_node *elem, int idx, uint8_t *p)
{
	lua_State *L = e->L;
	struct frame f = { up, n, 0 };
	size_t len;

	luaL_checkstack(L, 6, NULL);
	idx = lua_absindex(L, idx);
	len = lua_rawlen(L, idx);
	if (len > count)
		encode_fail(e, up, n, "%I elements do not fit in %s", (LUAI_UACINT)len, n->ctype);
	for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
		f.index = lua_isinteger(L, -2) ? lua_tointeger(L, -2) : 0;
		if (f.index < 1 || f.index > count)
			encode_fail(e, up, n, "index %s is not one of 1 to %I, as %s has", luaL_tolstring(L, -2, NULL),
				    (LUAI_UACINT)count, n->ctype);
		encode_node(e, &f, elem, -1, p + (size_t)(f.index - 1) * elem->size);
	}
}

static void encode_array(const struct encoder *e, const struct frame *up, const struct lbpf_node *n, int idx,
			 uint8_t *p)
{
	static const struct lbpf_node byte = { .kind = LBPF_U8, .size = 1, .ctype = "unsigned char" };

	if (n->kind == LBPF_BYTES && !lua_istable(e->L, idx)) {
		encode_string(e, up, n, idx, p);
		return;
	}
	if (!lua_istable(e->L, idx))
		fail_type(e, up, n, idx, "sequence");
	if (n->kind == LBPF_BYTES)
		encode_sequence(e, up, n, (uint32_t)array_room(e, n, p), &byte, idx, p);
	else if (n[1].size)
		encode_sequence(e, up, n, (uint32_t)(array_room(e, n, p) / n[1].size), n + 1, idx, p);
	else
		encode_sequence(e, up, n, n->count, n + 1, idx, p);
}

/* Lua interns strings of up to 40 bytes, so names are equal if their addresses are. Longer names are compared. */
static const struct lbpf_node *find_member(const struct lbpf_type *type, const struct lbpf_node *n, const char *name,
					   size_t len)
{
	const struct lbpf_node *m = n + 1;

	for (uint32_t i = 0; i < n->count; i++, m = type->node + m->next)
		if (m->label == name)
			return m;
	m = n + 1;
	for (uint32_t i = 0; len > 40 && i < n->count; i++, m = type->node + m->next)
		if (strlen(m->label) == len && memcmp(m->label, name, len) == 0)
			return m;
	return NULL;
}

/* Pushes the value that is given for member i of a struct: from the table at idx, or from the stack if `listed`.
 * Returns false if there is none. */
static bool push_given(const struct encoder *e, const struct lbpf_node *m, uint32_t i, int idx, bool listed)
{
	if (listed) {
		lua_pushvalue(e->L, idx + (int)i);
	} else {
		lua_pushstring(e->L, m->label);
		lua_rawget(e->L, idx);
	}
	if (!lua_isnil(e->L, -1))
		return true;
	lua_pop(e->L, 1);
	return false;
}

/* Several members of a union may be set if they have the same bytes, as in a value that was read and is written back.
 * Here the bytes are those of the member that was written last. Writing another member once more changes nothing if it
 * agrees. */
__attribute__((noinline)) static void check_overlaps(const struct encoder *e, const struct frame *f, int idx,
						     bool listed, const uint8_t *p)
{
	lua_State *L = e->L;
	const struct lbpf_node *m = f->node + 1;

	for (uint32_t i = 0; i < f->node->count; i++, m = e->type->node + m->next) {
		uint8_t *again;

		if (!m->overlaps || !push_given(e, m, i, idx, listed))
			continue;
		again = lua_newuserdatauv(L, m->size ? m->size : 1, 0);
		memcpy(again, p + m->offset, m->size);
		encode_node(e, f, m, -2, again);
		if (memcmp(again, p + m->offset, m->size) != 0)
			encode_fail(e, f, m, "other members of this union say otherwise; set one of them");
		lua_pop(L, 2);
	}
}

static void encode_struct(const struct encoder *e, const struct frame *up, const struct lbpf_node *n, int idx,
			  uint8_t *p)
{
	lua_State *L = e->L;
	struct frame f = { up, n, 0 };
	int overlaps = 0;

	if (!lua_istable(L, idx))
		fail_type(e, up, n, idx, "table");
	luaL_checkstack(L, 8, NULL);
	idx = lua_absindex(L, idx);
	for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
		const struct lbpf_node *m = NULL;
		size_t len;
		const char *name;

		if (lua_type(L, -2) == LUA_TSTRING) {
			name = lua_tolstring(L, -2, &len);
			m = find_member(e->type, n, name, len);
		}
		if (lbpf_unlikely(!m))
			fail_member(e, up, n, lbpf_arg_show(L, -2));
		encode_node(e, &f, m, -1, p + m->offset);
		overlaps += m->overlaps;
	}
	if (overlaps > 1)
		check_overlaps(e, &f, idx, false, p);
}

static void encode_node(const struct encoder *e, const struct frame *up, const struct lbpf_node *n, int idx, uint8_t *p)
{
	lua_Integer value;

	switch (n->kind) {
	/* A byte that is true already stays as it is, so that a union can be written back. */
	case LBPF_BOOL:
		value = to_boolean(e, up, n, idx);
		if (value != (*p != 0))
			*p = (uint8_t)value;
		break;
	case LBPF_F32:
	case LBPF_F64:
		encode_float(e, up, n, idx, p);
		break;
	case LBPF_UBITS:
	case LBPF_SBITS:
	case LBPF_BBITS:
		encode_bits(e, up, n, idx, p);
		break;
	case LBPF_CHARS:
	case LBPF_RAW:
		encode_string(e, up, n, idx, p);
		break;
	case LBPF_BYTES:
	case LBPF_ARRAY:
		encode_array(e, up, n, idx, p);
		break;
	case LBPF_STRUCT:
		encode_struct(e, up, n, idx, p);
		break;
	default:
		value = to_integer(e, up, n, idx);
		if (lbpf_unlikely(value < lbpf_ranges[n->kind].min || value > lbpf_ranges[n->kind].max))
			fail_range(e, up, n, idx);
		lbpf_store_int(lbpf_ranges[n->kind].size, p, value);
		break;
	}
}

void lbpf_encode_any(lua_State *L, const struct lbpf_type *type, int idx, void *buf, const char *what)
{
	struct encoder e = { L, type, what, (const uint8_t *)buf + type->size };

	/* An integer is stored only when it is known to fit, because the memory may be shared. */
	if (!lbpf_type_is_integer(type))
		memset(buf, 0, type->size);
	encode_node(&e, NULL, type->node, idx, buf);
}

__attribute__((noinline)) _Noreturn static void fail_count(const struct encoder *e, const struct lbpf_node *n,
							   uint32_t count, int given)
{
	const struct lbpf_node *m = n + 1;
	int listed = 0, list;

	luaL_checkstack(e->L, 8, NULL);
	if (n->kind != LBPF_STRUCT)
		encode_fail(e, NULL, n, "%s takes one value, got %d", n->ctype, given);
	lua_pushliteral(e->L, "");
	list = lua_gettop(e->L);
	for (uint32_t i = 0; i < n->count; i++, m = e->type->node + m->next)
		list_add(e->L, list, &listed, m->label);
	encode_fail(e, NULL, n, "%s takes %I values, one for each member (%s), got %d", n->ctype, (LUAI_UACINT)count,
		    lua_tostring(e->L, list), given);
}

/* Stores an integer that fits a member of an integer type; returns false for anything else. */
static inline bool store_integer(lua_State *L, const struct lbpf_node *m, int idx, uint8_t *p)
{
	lua_Integer value;

	if (m->kind > LBPF_LAST_INTEGER || !lua_isinteger(L, idx))
		return false;
	value = lua_tointegerx(L, idx, NULL);
	if (value < lbpf_ranges[m->kind].min || value > lbpf_ranges[m->kind].max)
		return false;
	lbpf_store_int(lbpf_ranges[m->kind].size, p, value);
	return true;
}

void lbpf_encode_pack(lua_State *L, const struct lbpf_type *type, int first, int given, void *buf, const char *what)
{
	const struct lbpf_node *n = type->node, *m = n + 1;
	struct encoder e = { L, type, what, (const uint8_t *)buf + type->size };
	struct frame f = { NULL, n, 0 };
	int overlaps = 0;
	uint32_t count = n->kind == LBPF_STRUCT ? n->count : 1;

	if (lbpf_unlikely(given < 0 || (uint32_t)given != count))
		fail_count(&e, n, count, given);
	if (n->kind != LBPF_STRUCT) {
		lbpf_encode(L, type, first, buf, what);
		return;
	}
	memset(buf, 0, type->size);
	for (uint32_t i = 0; i < count; i++, m = type->node + m->next) {
		int idx = first + (int)i;

		overlaps += m->overlaps;
		if (lbpf_likely(store_integer(L, m, idx, (uint8_t *)buf + m->offset)))
			continue;
		if (!lua_isnil(L, idx))
			encode_node(&e, &f, m, idx, (uint8_t *)buf + m->offset);
	}
	if (lbpf_unlikely(overlaps > 1)) {
		luaL_checkstack(L, 8, NULL);
		check_overlaps(&e, &f, first, true, buf);
	}
}

bool lbpf_accepts(lua_State *L, const struct lbpf_type *type, int idx)
{
	const struct lbpf_node *n = type->node;
	int top = lua_gettop(L);
	bool ok;

	/* nested arrays: the first element of each level stays on the stack until the end */
	luaL_checkstack(L, 4, NULL);
	lua_pushvalue(L, idx);
	while (n->kind == LBPF_ARRAY && lua_istable(L, -1) && lua_rawlen(L, -1) > 0) {
		luaL_checkstack(L, 4, NULL);
		lua_rawgeti(L, -1, 1);
		n++;
	}
	switch (n->kind) {
	case LBPF_ARRAY: /* an empty table: all zero */
		lua_pushnil(L);
		ok = lua_istable(L, -2) && !lua_next(L, -2);
		break;
	case LBPF_STRUCT:
		ok = lua_istable(L, -1) && lua_rawlen(L, -1) == 0;
		break;
	case LBPF_BYTES:
		ok = lua_type(L, -1) == LUA_TSTRING;
		if (lua_istable(L, -1))
			ok = lua_rawgeti(L, -1, 1) == LUA_TNUMBER || lua_isnil(L, -1);
		break;
	default:
		ok = !lua_istable(L, -1);
		break;
	}
	lua_settop(L, top);
	return ok;
}
