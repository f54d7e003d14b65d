/* SPDX-License-Identifier: MIT */
/* Bytes <-> Lua, by the plan of a type.
 *
 * Encoding runs no Lua code and takes the buffer zeroed, for padding is part of a key to the kernel. A chain of
 * frames on the C stack remembers the way down; only an error walks it, to name the place. */
#include "codec.h"

#include <math.h>
#include <string.h>

struct frame {
	const struct frame *up;
	const struct lbpf_node *node;
	lua_Integer index; /* the element of an array that is being written */
};

struct encoder {
	lua_State *L;
	const struct lbpf_type *type;
	const char *what;
};

struct decoder {
	lua_State *L;
	const struct lbpf_type *type;
	int names;	    /* stack index of the type's names */
	const uint8_t *end; /* of the bytes that may be read */
	size_t stride;	    /* from one copy to the next */
	int copies;	    /* how many to add up; 1 for a plain read */
	bool reuse;	    /* fill the tables that are there */
};

const struct lbpf_range lbpf_ranges[] = {
	[LBPF_U8] = { 1, 0, UINT8_MAX },	  [LBPF_U16] = { 2, 0, UINT16_MAX },
	[LBPF_U32] = { 4, 0, UINT32_MAX },	  [LBPF_U64] = { 8, INT64_MIN, INT64_MAX },
	[LBPF_S8] = { 1, INT8_MIN, INT8_MAX },	  [LBPF_S16] = { 2, INT16_MIN, INT16_MAX },
	[LBPF_S32] = { 4, INT32_MIN, INT32_MAX }, [LBPF_S64] = { 8, INT64_MIN, INT64_MAX },
};

/* ---- bit-fields ---- */

/* The bits of a field that lie in one byte: little-endian machines fill bytes from the low end, big-endian ones
 * from the high end, and BTF counts bits the same way. */
struct chunk {
	uint8_t byte, shift, width;
};

static struct chunk bits_chunk(const struct lbpf_node *n, unsigned int done)
{
	unsigned int at = n->bit + done, room = 8 - at % 8;
	struct chunk c = { .byte = (uint8_t)(at / 8) };

	c.width = (uint8_t)(n->bits - done < room ? n->bits - done : room);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	c.shift = (uint8_t)(at % 8);
#else
	c.shift = (uint8_t)(room - c.width);
#endif
	return c;
}

/* Where the chunk that starts after `done` bits stands in the field's value. */
static unsigned int bits_place(const struct lbpf_node *n, unsigned int done, const struct chunk *c)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	(void)n;
	(void)c;
	return done;
#else
	return n->bits - done - c->width;
#endif
}

static lua_Integer load_bits(const struct lbpf_node *n, const uint8_t *p)
{
	uint64_t value = 0;

	for (unsigned int done = 0; done < n->bits;) {
		struct chunk c = bits_chunk(n, done);
		uint64_t part = (uint64_t)(p[c.byte] >> c.shift) & ((1U << c.width) - 1);

		value |= part << bits_place(n, done, &c);
		done += c.width;
	}
	if (n->kind == LBPF_SBITS && n->bits > 0 && n->bits < 64 && value >> (n->bits - 1))
		value |= ~0ULL << n->bits;
	return (lua_Integer)value;
}

static void store_bits(const struct lbpf_node *n, uint8_t *p, lua_Integer value)
{
	for (unsigned int done = 0; done < n->bits;) {
		struct chunk c = bits_chunk(n, done);
		unsigned int mask = (1U << c.width) - 1;
		unsigned int part = (unsigned int)((uint64_t)value >> bits_place(n, done, &c)) & mask;

		p[c.byte] = (uint8_t)((p[c.byte] & ~(mask << c.shift)) | part << c.shift);
		done += c.width;
	}
}

/* ---- errors ---- */

/* Pushes "value.addr.ports[3]": the way to node n, which is the one being written inside the innermost frame. */
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
	luaL_where(e->L, 1);
	push_path(e, f, n);
	lua_pushliteral(e->L, ": ");
	va_start(args, fmt);
	lua_pushvfstring(e->L, fmt, args);
	va_end(args);
	lua_concat(e->L, 4);
	lua_error(e->L);
	__builtin_unreachable();
}

_Noreturn static void fail_type(const struct encoder *e, const struct frame *f, const struct lbpf_node *n, int idx,
				const char *expected)
{
	encode_fail(e, f, n, "%s expected for %s, got %s", expected, n->ctype, luaL_typename(e->L, idx));
}

_Noreturn static void fail_range(const struct encoder *e, const struct frame *f, const struct lbpf_node *n, int idx)
{
	const char *text = luaL_tolstring(e->L, idx, NULL);

	if (n->bits)
		encode_fail(e, f, n, "%s does not fit in the %d bits of %s", text, n->bits, n->ctype);
	encode_fail(e, f, n, "%s does not fit in %s", text, n->ctype);
}

/* Appends a name to the list that a message ends with, a string at stack index `list`; long lists are cut. */
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

/* ---- Lua to bytes ---- */

static void push_names(lua_State *L, const struct lbpf_type *type)
{
	if (lbpf_unlikely(type->names == LUA_NOREF))
		luaL_error(L, "the type of this value has been collected");
	lua_rawgeti(L, LUA_REGISTRYINDEX, type->names);
}

static lua_Integer enumerator_value(const struct encoder *e, const struct frame *f, const struct lbpf_node *n, int idx)
{
	lua_State *L = e->L;
	lua_Integer value;

	luaL_checkstack(L, 4, NULL);
	idx = lua_absindex(L, idx);
	push_names(L, e->type);
	lua_rawgeti(L, -1, n->enums);
	lua_pushvalue(L, idx);
	if (lua_rawget(L, -2) == LUA_TNIL)
		fail_enumerator(e, f, n, lua_tostring(L, idx), lua_gettop(L) - 1);
	value = lua_tointeger(L, -1);
	lua_pop(L, 3);
	return value;
}

/* A float that is an integer, up to 2^64 for unsigned 64 bits; enumerators by name. */
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
	s = (float)d;
	if (isinf(s) && !isinf(d))
		fail_range(e, f, n, idx);
	memcpy(p, &s, sizeof(s));
}

static void encode_bits(const struct encoder *e, const struct frame *f, const struct lbpf_node *n, int idx, uint8_t *p)
{
	lua_Integer value, high;

	if (n->kind == LBPF_BBITS) {
		store_bits(n, p, to_boolean(e, f, n, idx));
		return;
	}
	value = to_integer(e, f, n, idx);
	if (n->bits < 64) {
		high = value >> (n->kind == LBPF_SBITS ? n->bits - 1 : n->bits);
		if (high != 0 && !(n->kind == LBPF_SBITS && high == -1))
			fail_range(e, f, n, idx);
	}
	store_bits(n, p, value);
}

static void encode_string(const struct encoder *e, const struct frame *f, const struct lbpf_node *n, int idx,
			  uint8_t *p)
{
	size_t len;
	const char *s;

	if (lua_type(e->L, idx) != LUA_TSTRING)
		fail_type(e, f, n, idx, "string");
	s = lua_tolstring(e->L, idx, &len);
	if (n->kind == LBPF_CHARS && len > n->size)
		encode_fail(e, f, n, "%I bytes do not fit in %s", (LUAI_UACINT)len, n->ctype);
	if (n->kind != LBPF_CHARS && len != n->size)
		encode_fail(e, f, n, "%s takes %I bytes, got %I", n->ctype, (LUAI_UACINT)n->size, (LUAI_UACINT)len);
	memcpy(p, s, len);
	if (len < n->size)
		p[len] = 0; /* another member of a union may have written here */
}

static void encode_node(const struct encoder *e, const struct frame *up, const struct lbpf_node *n, int idx,
			uint8_t *p);

/* Every key has to be looked at: what is no index must not be lost silently. */
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
		encode_sequence(e, up, n, n->size, &byte, idx, p);
	else
		encode_sequence(e, up, n, n->count, n + 1, idx, p);
}

/* Lua interns strings of up to 40 bytes, so names are equal when their addresses are; longer ones are compared. */
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

/* Several members of a union may be given when they mean the same bytes, as in a value that was read and is written
 * back. What was written last has won by now; a member that agrees changes nothing when it is written once more. */
__attribute__((noinline)) static void check_overlaps(const struct encoder *e, const struct frame *f, int idx,
						     const uint8_t *p)
{
	lua_State *L = e->L;
	const struct lbpf_node *m = f->node + 1;

	for (uint32_t i = 0; i < f->node->count; i++, m = e->type->node + m->next) {
		uint8_t *again;

		if (!m->overlaps)
			continue;
		lua_pushstring(L, m->label);
		if (lua_rawget(L, idx) != LUA_TNIL) {
			again = lua_newuserdatauv(L, m->size ? m->size : 1, 0);
			memcpy(again, p + m->offset, m->size);
			encode_node(e, f, m, -2, again);
			if (memcmp(again, p + m->offset, m->size) != 0)
				encode_fail(e, f, m, "other members of this union say otherwise; set one of them");
			lua_pop(L, 1);
		}
		lua_pop(L, 1);
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
			fail_member(e, up, n, luaL_tolstring(L, -2, NULL));
		encode_node(e, &f, m, -1, p + m->offset);
		overlaps += m->overlaps;
	}
	if (overlaps > 1)
		check_overlaps(e, &f, idx, p);
}

static void encode_node(const struct encoder *e, const struct frame *up, const struct lbpf_node *n, int idx, uint8_t *p)
{
	lua_Integer value;

	switch (n->kind) {
	case LBPF_BOOL: /* a byte that is true already stays, so that a union may be written back */
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
	struct encoder e = { L, type, what };

	if (!lbpf_type_is_integer(type)) /* an integer is stored once it is known to fit, in live memory as well */
		memset(buf, 0, type->size);
	encode_node(&e, NULL, type->node, idx, buf);
}

/* ---- bytes to Lua ---- */

/* Pushes the value at p to stack index `at`, the first free one. Indices are passed on, not asked for. */
static void decode_node(const struct decoder *d, const struct lbpf_node *n, const uint8_t *p, int at);

/* The elements of an array; a flexible one fills what is left of the record. */
static uint32_t array_count(const struct decoder *d, const struct lbpf_node *n, const uint8_t *p)
{
	uint32_t size = n->kind == LBPF_ARRAY ? n[1].size : 1;

	if (lbpf_likely(!n->flexible))
		return n->kind == LBPF_ARRAY ? n->count : n->size;
	if (p >= d->end || size == 0)
		return 0;
	return (uint32_t)((size_t)(d->end - p) / size);
}

static void decode_text(const struct decoder *d, const struct lbpf_node *n, const uint8_t *p)
{
	size_t len = array_count(d, n, p);
	const uint8_t *nul;

	/* a CPU that has no value yet has an empty text */
	for (int i = 1; i < d->copies && n->kind == LBPF_CHARS && len && !*p; i++)
		p += d->stride;
	nul = n->kind == LBPF_CHARS ? memchr(p, 0, len) : NULL;
	lua_pushlstring(d->L, (const char *)p, nul ? (size_t)(nul - p) : len);
}

static double load_float(const struct lbpf_node *n, const uint8_t *p)
{
	double f64;
	float f32;

	if (n->kind == LBPF_F64) {
		memcpy(&f64, p, sizeof(f64));
		return f64;
	}
	memcpy(&f32, p, sizeof(f32));
	return (double)f32;
}

static void decode_float(const struct decoder *d, const struct lbpf_node *n, const uint8_t *p)
{
	double sum = load_float(n, p);

	for (int i = 1; i < d->copies; i++)
		sum += load_float(n, p + (size_t)i * d->stride);
	lua_pushnumber(d->L, (lua_Number)sum);
}

static void decode_bits(const struct decoder *d, const struct lbpf_node *n, const uint8_t *p)
{
	lua_Unsigned sum = (lua_Unsigned)load_bits(n, p);

	if (n->kind == LBPF_BBITS) {
		lua_pushboolean(d->L, sum != 0);
		return;
	}
	for (int i = 1; i < d->copies; i++)
		sum += (lua_Unsigned)load_bits(n, p + (size_t)i * d->stride);
	lua_pushinteger(d->L, (lua_Integer)sum);
}

static void fill_table(const struct decoder *d, const struct lbpf_node *n, const uint8_t *p, int table);

/* With the name or index of a member pushed below `at`: its table, if there is one to be filled again, else its value
 * anew. */
static void decode_member(const struct decoder *d, const struct lbpf_node *n, const uint8_t *p, int table,
			  lua_Integer index, int at)
{
	if (d->reuse && n->kind >= LBPF_ARRAY) {
		if (!index)
			lua_pushvalue(d->L, -1);
		if ((index ? lua_rawgeti(d->L, table, index) : lua_rawget(d->L, table)) == LUA_TTABLE) {
			fill_table(d, n, p, at);
			return;
		}
		lua_pop(d->L, 1);
	}
	decode_node(d, n, p, at);
}

static void fill_array(const struct decoder *d, const struct lbpf_node *n, const uint8_t *p, int table)
{
	const struct lbpf_node *elem = n + 1;
	lua_Integer count = array_count(d, n, p);

	for (lua_Integer i = 1; i <= count; i++, p += elem->size) {
		decode_member(d, elem, p, table, i, table + 1);
		lua_rawseti(d->L, table, i);
	}
	for (lua_Integer i = count + 1; d->reuse && n->flexible && i <= (lua_Integer)lua_rawlen(d->L, table); i++) {
		lua_pushnil(d->L);
		lua_rawseti(d->L, table, i);
	}
}

static void fill_struct(const struct decoder *d, const struct lbpf_node *n, const uint8_t *p, int table)
{
	const struct lbpf_node *m = n + 1;

	for (uint32_t i = 0; i < n->count; i++, m = d->type->node + m->next) {
		lua_rawgeti(d->L, d->names, m->name);
		decode_member(d, m, p + m->offset, table, 0, table + 2);
		lua_rawset(d->L, table);
	}
}

static void fill_table(const struct decoder *d, const struct lbpf_node *n, const uint8_t *p, int table)
{
	if (n->kind == LBPF_STRUCT)
		fill_struct(d, n, p, table);
	else
		fill_array(d, n, p, table);
}

static void decode_node(const struct decoder *d, const struct lbpf_node *n, const uint8_t *p, int at)
{
	lua_Unsigned sum;
	uint32_t count;

	switch (n->kind) {
	case LBPF_BOOL:
		lua_pushboolean(d->L, *p != 0);
		break;
	case LBPF_F32:
	case LBPF_F64:
		decode_float(d, n, p);
		break;
	case LBPF_UBITS:
	case LBPF_SBITS:
	case LBPF_BBITS:
		decode_bits(d, n, p);
		break;
	case LBPF_CHARS:
	case LBPF_BYTES:
	case LBPF_RAW:
		decode_text(d, n, p);
		break;
	case LBPF_ARRAY:
		count = array_count(d, n, p);
		lua_createtable(d->L, (int)(count < INT32_MAX ? count : 0), 0);
		fill_array(d, n, p, at);
		break;
	case LBPF_STRUCT:
		lua_createtable(d->L, 0, (int)n->count);
		fill_struct(d, n, p, at);
		break;
	default:
		sum = (lua_Unsigned)lbpf_load_int(n->kind, p);
		for (int i = 1; i < d->copies; i++)
			sum += (lua_Unsigned)lbpf_load_int(n->kind, p + (size_t)i * d->stride);
		lua_pushinteger(d->L, (lua_Integer)sum);
		break;
	}
}

/* Makes a decoder. A table's members need the names pushed; each table that is being filled takes two slots of the
 * stack, itself and a key. */
static struct decoder decoder_begin(lua_State *L, const struct lbpf_type *type, const void *buf, size_t len, bool names)
{
	struct decoder d = { .L = L, .type = type, .end = (const uint8_t *)buf + len, .copies = 1 };

	if (type->depth > 4)
		luaL_checkstack(L, 2 * (int)type->depth + 6, NULL);
	if (names) {
		push_names(L, type);
		d.names = lua_gettop(L);
	}
	return d;
}

/* Pushes the value, in place of the names where there are any. */
static void decode_root(const struct decoder *d, const void *buf)
{
	decode_node(d, d->type->node, buf, d->names + 1);
	if (d->names)
		lua_replace(d->L, d->names);
}

void lbpf_decode_any(lua_State *L, const struct lbpf_type *type, const void *buf, size_t len)
{
	struct decoder d = decoder_begin(L, type, buf, len, type->depth > 0);

	decode_root(&d, buf);
}

void lbpf_decode_sum(lua_State *L, const struct lbpf_type *type, const void *buf, size_t stride, int copies)
{
	struct decoder d = decoder_begin(L, type, buf, type->size, type->depth > 0);

	d.stride = stride;
	d.copies = copies;
	decode_root(&d, buf);
}

int lbpf_decode_unpack(lua_State *L, const struct lbpf_type *type, const void *buf, size_t len)
{
	const struct lbpf_node *n = type->node, *m = n + 1;
	struct decoder d;

	if (n->kind != LBPF_STRUCT) {
		lbpf_decode(L, type, buf, len);
		return 1;
	}
	if (n->count > LUA_MINSTACK / 2)
		luaL_checkstack(L, (int)n->count + LUA_MINSTACK, "too many members to unpack");
	d = decoder_begin(L, type, buf, len, type->depth > 1);
	for (uint32_t i = 0; i < n->count; i++, m = type->node + m->next)
		decode_node(&d, m, (const uint8_t *)buf + m->offset, d.names + (int)i + 1);
	if (d.names)
		lua_remove(L, d.names);
	return (int)n->count;
}

void lbpf_decode_into(lua_State *L, const struct lbpf_type *type, const void *buf, size_t len, int idx)
{
	struct decoder d;

	idx = lua_absindex(L, idx);
	if (type->node[0].kind < LBPF_ARRAY)
		luaL_error(L, "option 'into' is for structs and arrays, not for %s", type->node[0].ctype);
	d = decoder_begin(L, type, buf, len, true);
	d.reuse = true;
	lua_pushvalue(L, idx);
	fill_table(&d, type->node, buf, d.names + 1);
	lua_replace(L, d.names);
}

bool lbpf_accepts(lua_State *L, const struct lbpf_type *type, int idx)
{
	const struct lbpf_node *n = type->node;
	int top = lua_gettop(L);
	bool ok;

	/* an array of arrays of … : as many first elements deep */
	lua_pushvalue(L, idx);
	while (n->kind == LBPF_ARRAY && lua_istable(L, -1) && lua_rawlen(L, -1) > 0) {
		luaL_checkstack(L, 2, NULL);
		lua_rawgeti(L, -1, 1);
		n++;
	}
	switch (n->kind) {
	case LBPF_ARRAY: /* an empty one: all zero */
		lua_pushnil(L);
		ok = lua_istable(L, -2) && !lua_next(L, -2);
		break;
	case LBPF_STRUCT:
		ok = lua_istable(L, -1) && lua_rawlen(L, -1) == 0;
		break;
	case LBPF_BYTES:
		ok = true;
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

void lbpf_check_length(lua_State *L, const struct lbpf_type *type, size_t len, const char *what)
{
	if (lbpf_unlikely(len < type->size))
		luaL_error(L, "%s: %I bytes are too few for %s, which takes %I", what, (LUAI_UACINT)len,
			   type->node[0].ctype, (LUAI_UACINT)type->size);
}
