/* SPDX-License-Identifier: MIT */
/* Keys of maps. Encoding a decoded key gives the bytes it was decoded from. If that is impossible, the decoded key is a
 * string of these bytes. */
#ifndef LBPF_VALUE_KEY_H
#define LBPF_VALUE_KEY_H

#include "value/codec.h"

LBPF_HIDDEN_BEGIN

void lbpf_key_encode_any(lua_State *L, const struct lbpf_type *type, int idx, void *buf);
void lbpf_key_decode_any(lua_State *L, struct lbpf_type *type, const void *buf);

/* Like lbpf_encode, but also takes a string of all the key's bytes. An integer key must be an integer. */
static inline void lbpf_key_encode(lua_State *L, const struct lbpf_type *type, int idx, void *buf)
{
	if (lbpf_likely(lbpf_type_is_integer(type)))
		lbpf_encode(L, type, idx, buf, "key");
	else
		lbpf_key_encode_any(L, type, idx, buf);
}

/* Pushes the key at buf. */
static inline void lbpf_key_decode(lua_State *L, struct lbpf_type *type, const void *buf)
{
	if (lbpf_likely(lbpf_type_is_integer(type)))
		lua_pushinteger(L, lbpf_load_int(type->node[0].kind, buf));
	else
		lbpf_key_decode_any(L, type, buf);
}

LBPF_HIDDEN_END

#endif
