/* SPDX-License-Identifier: MIT */
/* Address prefixes, "10.0.0.0/8" and "2001:db8::/32": for keys whose data has the length of an address. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>

#include "map/conv.h"
#include "map/map.h"

struct prefix {
	uint32_t len; /* bits that count */
	uint8_t data[16];
};

static int prefix_family(const struct lbpf_map *map)
{
	switch (map->key_size) {
	case sizeof(uint32_t) + 4:
		return AF_INET;
	case sizeof(uint32_t) + 16:
		return AF_INET6;
	default:
		return AF_UNSPEC;
	}
}

/* The kernel treats keys that differ only beyond the prefix as the same key. So the bits beyond the prefix are cleared,
 * and such keys are also decoded to the same text. */
static void prefix_clear_host(struct prefix *prefix, uint32_t bits)
{
	for (uint32_t bit = prefix->len; bit < bits; bit++)
		prefix->data[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
}

static bool prefix_parse(const char *text, int family, struct prefix *prefix)
{
	uint32_t bits = family == AF_INET ? 32 : 128;
	const char *slash = strchr(text, '/');
	char addr[INET6_ADDRSTRLEN], *end;
	size_t len = slash ? (size_t)(slash - text) : strlen(text);

	if (len >= sizeof(addr))
		return false;
	memcpy(addr, text, len);
	addr[len] = '\0';
	prefix->len = bits;
	if (slash) {
		unsigned long n = strtoul(slash + 1, &end, 10);

		if (slash[1] < '0' || slash[1] > '9' || *end || n > bits)
			return false;
		prefix->len = (uint32_t)n;
	}
	if (inet_pton(family, addr, prefix->data) != 1)
		return false;
	prefix_clear_host(prefix, bits);
	return true;
}

/* Whether the string has a key's bytes, rather than a text of the same length. */
static bool is_prefix(const char *bytes, int family)
{
	uint32_t len;

	memcpy(&len, bytes, sizeof(len));
	return len <= (family == AF_INET ? 32u : 128u);
}

static int prefix_encode(lua_State *L, const struct lbpf_map *map, int idx, void *buf)
{
	int family = prefix_family(map);
	struct prefix prefix;
	const char *text;
	size_t len;

	if (family == AF_UNSPEC || lua_type(L, idx) != LUA_TSTRING) {
		lbpf_key_encode(L, map->key, idx, buf);
		return 0;
	}
	text = lua_tolstring(L, idx, &len);
	if (strlen(text) == len && prefix_parse(text, family, &prefix))
		memcpy(buf, &prefix, map->key_size);
	else if (len == map->key_size && is_prefix(text, family))
		memcpy(buf, text, len);
	else
		luaL_error(L, "key: '%s' is no %s prefix such as \"%s\"", text, family == AF_INET ? "IPv4" : "IPv6",
			   family == AF_INET ? "10.0.0.0/8" : "2001:db8::/32");
	return 0;
}

static void prefix_decode(lua_State *L, const struct lbpf_map *map, const void *buf, int into)
{
	int family = prefix_family(map);
	struct prefix prefix;
	char addr[INET6_ADDRSTRLEN];

	(void)into;
	if (family == AF_UNSPEC) {
		lbpf_key_decode(L, map->key, buf);
		return;
	}
	memcpy(&prefix, buf, map->key_size);
	inet_ntop(family, prefix.data, addr, sizeof(addr));
	lua_pushfstring(L, "%s/%I", addr, (LUAI_UACINT)prefix.len);
}

const struct lbpf_conv lbpf_conv_prefix = { .encode = prefix_encode, .decode = prefix_decode };
