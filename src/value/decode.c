/* SPDX-License-Identifier: MIT */
/* Decoding: bytes to Lua values, by the plan of a type. */
#include <string.h>

#include "value/bits.h"
#include "value/codec.h"

struct decoder {
	lua_State *L;
	const struct lbpf_type *type;
	int names;	    /* stack index of the type's names */
	const uint8_t *end; /* the end of the bytes that may be read */
	bool longer;	    /* there are more bytes than the type has */
	bool whole;	    /* a text that has more than zeros after its end is all its bytes */
	size_t stride;	    /* bytes from one copy to the next */
	int copies;	    /* how many copies to add up; 1: decode a single value */
	bool reuse;	    /* fill existing tables */
};

static lua_Integer load_bits(const struct lbpf_node *n, const uint8_t *p)
{
	uint64_t value = lbpf_bits_load(n, p);

	if (n->kind == LBPF_SBITS && n->bits > 0 && n->bits < 64 && value >> (n->bits - 1))
		value |= ~0ULL << n->bits;
	return (lua_Integer)value;
}

/* Pushes the value at p to stack index `at`, the first free one. Indices are passed as arguments, because asking Lua
 * for them would cost time. */
static void decode_node(const struct decoder *d, const struct lbpf_node *n, const uint8_t *p, int at);

/* Pushes the elements of an array. A flexible array has as many as fit into the rest of the record. */
static uint32_t array_count(const struct decoder *d, const struct lbpf_node *n, const uint8_t *p)
{
	uint32_t size = n->kind == LBPF_ARRAY ? n[1].size : 1;

	if (lbpf_likely(!n->flexible))
		return n->kind == LBPF_ARRAY ? n->count : n->size;
	if (p >= d->end || size == 0 || (n->beyond && !d->longer))
		return 0;
	return (uint32_t)((size_t)(d->end - p) / size);
}

static void decode_text(const struct decoder *d, const struct lbpf_node *n, const uint8_t *p)
{
	size_t len = array_count(d, n, p);
	const uint8_t *nul;

	/* skips CPUs that have no value yet: their text is empty */
	for (int i = 1; i < d->copies && n->kind == LBPF_CHARS && len && !*p; i++)
		p += d->stride;
	nul = n->kind == LBPF_CHARS ? memchr(p, 0, len) : NULL;
	for (size_t i = nul ? (size_t)(nul - p) : len; d->whole && i < len; i++)
		if (p[i])
			nul = NULL;
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

/* The name or index of a member is below `at`. Pushes the member's existing table if there is one to fill, otherwise a
 * new value. */
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

#define RESERVE 4 /* stack slots: the names, the value, and two to find a table that is to be filled */

/* Creates a decoder that leaves so many results, and reserves the stack for everything it pushes. Decoding members of a
 * table needs the names on the stack. Each table that is being filled takes two slots: the table and a key. */
static struct decoder decoder_begin(lua_State *L, const struct lbpf_type *type, const void *buf, size_t len, bool names,
				    uint32_t results)
{
	struct decoder d = { .L = L, .type = type, .end = (const uint8_t *)buf + len, .copies = 1 };

	d.longer = len > type->size;
	if (type->depth)
		luaL_checkstack(L, (int)(results + 2 * type->depth) + RESERVE, "too many members");
	if (names) {
		lbpf_type_push_names(L, type);
		d.names = lua_gettop(L);
	}
	return d;
}

/* Pushes the value. It replaces the names, if they are on the stack. */
static void decode_root(const struct decoder *d, const void *buf)
{
	decode_node(d, d->type->node, buf, d->names + 1);
	if (d->names)
		lua_replace(d->L, d->names);
}

void lbpf_decode_any(lua_State *L, const struct lbpf_type *type, const void *buf, size_t len)
{
	struct decoder d = decoder_begin(L, type, buf, len, type->depth > 0, 1);

	decode_root(&d, buf);
}

void lbpf_decode_whole(lua_State *L, const struct lbpf_type *type, const void *buf)
{
	struct decoder d = decoder_begin(L, type, buf, type->size, type->depth > 0, 1);

	d.whole = true;
	decode_root(&d, buf);
}

void lbpf_decode_sum(lua_State *L, const struct lbpf_type *type, const void *buf, size_t stride, int copies)
{
	struct decoder d = decoder_begin(L, type, buf, type->size, type->depth > 0, 1);

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
	d = decoder_begin(L, type, buf, len, type->depth > 1, n->count);
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
	d = decoder_begin(L, type, buf, len, true, 1);
	d.reuse = true;
	lua_pushvalue(L, idx);
	fill_table(&d, type->node, buf, d.names + 1);
	lua_replace(L, d.names);
}

void lbpf_check_length(lua_State *L, const struct lbpf_type *type, size_t len, const char *what)
{
	if (lbpf_unlikely(len < type->size))
		luaL_error(L, "%s: %I bytes are too few for %s, which takes %I", what, (LUAI_UACINT)len,
			   type->node[0].ctype, (LUAI_UACINT)type->size);
}
