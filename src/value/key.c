/* SPDX-License-Identifier: MIT */
/* Keys of maps. Encoding a decoded key gives the bytes it was decoded from. If that is impossible, the decoded key is a
 * string of these bytes.
 *
 * For the kernel all bytes of a key count, even those that belong to no member. A program that fills a struct member by
 * member may leave anything in the padding, and no table stands for such a key. So of each struct we keep its gaps: the
 * bits that belong to no member. They are computed when the first key is read. */
#include "value/key.h"

#include <math.h>
#include <string.h>

#include "value/bits.h"

static const uint8_t *value_end(const struct lbpf_type *type, const uint8_t *p)
{
	return p + type->size;
}

/* The number of elements of an array in a value that has no more bytes than its type. */
static uint32_t element_count(const struct lbpf_node *n, const uint8_t *p, const uint8_t *end)
{
	if (!n->flexible || n->beyond || !n[1].size)
		return n->count;
	return (uint32_t)((size_t)(end - p) / n[1].size);
}

/* Sets the bits at p that the node uses. A bool uses one bit, because any other byte than 0 is decoded as true. */
static void mark(const struct lbpf_type *type, const struct lbpf_node *n, uint8_t *p, const uint8_t *end)
{
	const struct lbpf_node *m = n + 1;
	uint32_t count;

	switch (n->kind) {
	case LBPF_STRUCT:
		for (uint32_t i = 0; i < n->count; i++, m = type->node + m->next)
			mark(type, m, p + m->offset, end);
		break;
	case LBPF_ARRAY:
		count = element_count(n, p, end);
		for (uint32_t i = 0; i < count; i++)
			mark(type, m, p + (size_t)i * m->size, end);
		break;
	case LBPF_BOOL:
		*p |= 1;
		break;
	case LBPF_UBITS:
	case LBPF_SBITS:
		lbpf_bits_store(n, p, UINT64_MAX);
		break;
	case LBPF_BBITS:
		lbpf_bits_store(n, p, lbpf_bits_load(n, p) | 1);
		break;
	default:
		memset(p, 0xff, n->flexible && !n->beyond ? (size_t)(end - p) : n->size);
		break;
	}
}

/* Lists the gaps. The type's sequence of names keeps the list; decoding a struct needs this sequence anyway. */
static void find_gaps(lua_State *L, struct lbpf_type *type)
{
	int top = lua_gettop(L);
	struct lbpf_gap *gaps;
	uint32_t count = 0;
	uint8_t *mask;

	luaL_checkstack(L, 4, NULL);
	lbpf_type_push_names(L, type);
	mask = lua_newuserdatauv(L, type->size ? type->size : 1, 0);
	memset(mask, 0, type->size);
	mark(type, type->node, mask, value_end(type, mask));
	for (uint32_t i = 0; i < type->size; i++)
		count += mask[i] != 0xff;
	gaps = lua_newuserdatauv(L, ((size_t)count + 1) * sizeof(*gaps), 0);
	count = 0;
	for (uint32_t i = 0; i < type->size; i++)
		if (mask[i] != 0xff)
			gaps[count++] = (struct lbpf_gap){ i, (uint8_t)~mask[i] };
	lua_rawseti(L, top + 1, 0); /* the names begin at 1 */
	type->gaps = gaps;
	type->gap_count = count;
	lua_settop(L, top);
}

static bool is_nan(const struct lbpf_node *n, const uint8_t *p)
{
	double f64;
	float f32;

	if (n->kind == LBPF_F64) {
		memcpy(&f64, p, sizeof(f64));
		return isnan(f64);
	}
	memcpy(&f32, p, sizeof(f32));
	return isnan(f32);
}

/* Whether there is a NaN at p, at any depth. A conversion doesn't keep which NaN it is. */
static bool has_nan(const struct lbpf_type *type, const struct lbpf_node *n, const uint8_t *p, const uint8_t *end)
{
	const struct lbpf_node *m = n + 1;
	uint32_t count = n->kind == LBPF_ARRAY ? element_count(n, p, end) : n->count;

	if (n->kind < LBPF_ARRAY)
		return (n->kind == LBPF_F32 || n->kind == LBPF_F64) && is_nan(n, p);
	for (uint32_t i = 0; i < count; i++) {
		if (n->kind == LBPF_ARRAY && has_nan(type, m, p + (size_t)i * m->size, end))
			return true;
		if (n->kind == LBPF_STRUCT && has_nan(type, m, p + m->offset, end))
			return true;
		if (n->kind == LBPF_STRUCT)
			m = type->node + m->next;
	}
	return false;
}

static bool comes_back(const struct lbpf_type *type, const uint8_t *p)
{
	uint32_t dirty = 0;

	if (type->node[0].kind == LBPF_BOOL)
		return *p <= 1;
	for (uint32_t i = 0; i < type->gap_count; i++)
		dirty |= p[type->gaps[i].offset] & type->gaps[i].bits;
	return !dirty && !(type->floats && has_nan(type, type->node, p, value_end(type, p)));
}

void lbpf_key_decode_any(lua_State *L, struct lbpf_type *type, const void *buf)
{
	if (lbpf_unlikely(!type->gaps && type->node[0].kind >= LBPF_ARRAY))
		find_gaps(L, type);
	if (lbpf_likely(comes_back(type, buf)))
		lbpf_decode_whole(L, type, buf);
	else
		lua_pushlstring(L, buf, type->size);
}

void lbpf_key_encode_any(lua_State *L, const struct lbpf_type *type, int idx, void *buf)
{
	size_t len;
	const char *bytes;

	if (lua_type(L, idx) == LUA_TSTRING) {
		bytes = lua_tolstring(L, idx, &len);
		if (len == type->size) {
			memcpy(buf, bytes, len);
			return;
		}
	}
	lbpf_encode(L, type, idx, buf, "key");
}
