/* SPDX-License-Identifier: MIT */
/* The codec: converts bytes to Lua values and the reverse, by the plan of a type. Uses neither libbpf nor system
 * calls. */
#ifndef LBPF_VALUE_CODEC_H
#define LBPF_VALUE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <lua.h>

#include "base/compat.h"
#include "base/raise.h"
#include "value/plan.h"

LBPF_HIDDEN_BEGIN

/* Size and range of each integer kind. */
struct lbpf_range {
	uint32_t size;
	lua_Integer min, max;
};

extern const struct lbpf_range lbpf_ranges[LBPF_LAST_INTEGER + 1];

/* Read and write integers in memory, at any address. */
static inline lua_Integer lbpf_load_int(unsigned int kind, const void *p)
{
	uint8_t u8;
	uint16_t u16;
	uint32_t u32;
	uint64_t u64;

	switch (kind) {
	case LBPF_U8:
		memcpy(&u8, p, sizeof(u8));
		return u8;
	case LBPF_S8:
		memcpy(&u8, p, sizeof(u8));
		return (int8_t)u8;
	case LBPF_U16:
		memcpy(&u16, p, sizeof(u16));
		return u16;
	case LBPF_S16:
		memcpy(&u16, p, sizeof(u16));
		return (int16_t)u16;
	case LBPF_U32:
		memcpy(&u32, p, sizeof(u32));
		return u32;
	case LBPF_S32:
		memcpy(&u32, p, sizeof(u32));
		return (int32_t)u32;
	default:
		memcpy(&u64, p, sizeof(u64));
		return (lua_Integer)u64;
	}
}

static inline void lbpf_store_int(uint32_t size, void *p, lua_Integer value)
{
	uint64_t u64 = (uint64_t)value;
	uint32_t u32 = (uint32_t)u64;
	uint16_t u16 = (uint16_t)u64;
	uint8_t u8 = (uint8_t)u64;

	switch (size) {
	case 1:
		memcpy(p, &u8, sizeof(u8));
		break;
	case 2:
		memcpy(p, &u16, sizeof(u16));
		break;
	case 4:
		memcpy(p, &u32, sizeof(u32));
		break;
	default:
		memcpy(p, &u64, sizeof(u64));
		break;
	}
}

void lbpf_encode_any(lua_State *L, const struct lbpf_type *type, int idx, void *buf, const char *what);
void lbpf_decode_any(lua_State *L, const struct lbpf_type *type, const void *buf, size_t len);

/* Encodes the `given` values from stack index `first` on as the members of a struct, in declaration order; nil leaves a
 * member zero. Any other type takes one value. Raises as lbpf_encode does, and unless there is a value for each
 * member. */
void lbpf_encode_pack(lua_State *L, const struct lbpf_type *type, int first, int given, void *buf, const char *what);

/* Encodes the value at idx into the type->size bytes at buf, which it sets to zero first. Raises if the value doesn't
 * fit; the message names the member, beginning with `what` ("key", "value", …), and buf is partly written. Runs no Lua
 * code. */
static inline void lbpf_encode(lua_State *L, const struct lbpf_type *type, int idx, void *buf, const char *what)
{
	unsigned int kind = type->node[0].kind;

	if (lbpf_likely(kind <= LBPF_LAST_INTEGER && lua_isinteger(L, idx))) {
		const struct lbpf_range *range = &lbpf_ranges[kind];
		lua_Integer value = lua_tointegerx(L, idx, NULL);

		if (lbpf_likely(value >= range->min && value <= range->max)) {
			lbpf_store_int(range->size, buf, value);
			return;
		}
	}
	lbpf_encode_any(L, type, idx, buf, what);
}

/* Pushes the value at buf, of which len >= type->size bytes are readable. Bytes beyond type->size belong to a flexible
 * array. */
static inline void lbpf_decode(lua_State *L, const struct lbpf_type *type, const void *buf, size_t len)
{
	unsigned int kind = type->node[0].kind;

	if (lbpf_likely(kind <= LBPF_LAST_INTEGER))
		lua_pushinteger(L, lbpf_load_int(kind, buf));
	else
		lbpf_decode_any(L, type, buf, len);
}

/* Pushes the value at buf. A text that has more than zeros after its end is all its bytes. */
void lbpf_decode_whole(lua_State *L, const struct lbpf_type *type, const void *buf);

/* Pushes the members of a struct as separate values, in declaration order; any other value as one. Returns how many. */
int lbpf_decode_unpack(lua_State *L, const struct lbpf_type *type, const void *buf, size_t len);

/* Decodes into the table at idx, reuses the tables in it, and pushes it. The type must be a struct or an array. */
void lbpf_decode_into(lua_State *L, const struct lbpf_type *type, const void *buf, size_t len, int idx);

/* Pushes the sum of `copies` values that are `stride` bytes apart. Numbers are added up; everything else is that of the
 * first value. */
void lbpf_decode_sum(lua_State *L, const struct lbpf_type *type, const void *buf, size_t stride, int copies);

/* Whether the Lua value at idx has the shape of this type. Checks only the first element of a table. */
bool lbpf_accepts(lua_State *L, const struct lbpf_type *type, int idx);

/* Raises unless len bytes can hold a value of this type. */
void lbpf_check_length(lua_State *L, const struct lbpf_type *type, size_t len, const char *what);

/* Memory for one key or value: on the C stack if it is small, otherwise in a userdata that stays on the Lua stack. */
#define LBPF_SCRATCH(L, name, size)                \
	_Alignas(8) char name##_small[LBPF_SMALL]; \
	void *name = (size) <= LBPF_SMALL ? (void *)name##_small : lua_newuserdatauv(L, size, 0)

LBPF_HIDDEN_END

#endif
