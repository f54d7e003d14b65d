/* SPDX-License-Identifier: MIT */
/* Reading arguments: integers in a range, flags by name, tables of options. And setting fields of result tables. */
#define _GNU_SOURCE
#include "base/needs.h"

#include "base/arg.h"

#include <errno.h>
#include <net/if.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <lauxlib.h>

#include "base/class.h"
#include "base/spare.h"

lua_Integer lbpf_arg_int(lua_State *L, int idx, lua_Integer min, lua_Integer max)
{
	return lbpf_arg_units(L, idx, min, max, NULL);
}

lua_Integer lbpf_arg_units(lua_State *L, int idx, lua_Integer min, lua_Integer max, const char *units)
{
	int is_int;
	lua_Integer n = lua_tointegerx(L, idx, &is_int);

	if (!is_int && lua_type(L, idx) == LUA_TNUMBER)
		luaL_argerror(L, idx,
			      lua_pushfstring(L, "%s expected, got %s",
					      units ? lua_pushfstring(L, "an integer number of %s", units)
						    : "an integer",
					      luaL_tolstring(L, idx, NULL)));
	if (!is_int)
		luaL_checkinteger(L, idx); /* raises */
	if (n < min || n > max)
		luaL_argerror(L, idx,
			      lua_pushfstring(L, "%I is not between %I and %I", (LUAI_UACINT)n, (LUAI_UACINT)min,
					      (LUAI_UACINT)max));
	return n;
}

bool lbpf_arg_is_text(lua_State *L, int idx)
{
	size_t len;
	const char *text = lua_tolstring(L, idx, &len);

	return text && strlen(text) == len;
}

const char *lbpf_arg_show(lua_State *L, int idx)
{
	size_t len;
	const char *text = luaL_tolstring(L, idx, &len);
	luaL_Buffer b;

	if (strlen(text) == len)
		return text;
	luaL_buffinit(L, &b);
	for (size_t i = 0; i < len; i++)
		if (text[i])
			luaL_addchar(&b, text[i]);
		else
			luaL_addstring(&b, "\\0");
	luaL_pushresult(&b);
	lua_remove(L, -2);
	return lua_tostring(L, -1);
}

const char *lbpf_arg_string(lua_State *L, int idx)
{
	const char *text = luaL_checkstring(L, idx);

	luaL_argcheck(L, lbpf_arg_is_text(L, idx), idx, "the string has a NUL byte in it");
	return text;
}

int64_t lbpf_name_value(const struct lbpf_name *names, const char *name)
{
	for (; names->name; names++)
		if (strcmp(names->name, name) == 0)
			return (int64_t)names->value;
	return -1;
}

_Noreturn void lbpf_name_unknown(lua_State *L, const struct lbpf_name *names, const char *what, const char *got)
{
	luaL_Buffer b;

	luaL_buffinit(L, &b);
	for (const struct lbpf_name *n = names; n->name; n++)
		lbpf_list_add(&b, n->name);
	luaL_pushresult(&b);
	luaL_error(L, "%s '%s' is unknown (one of: %s)", what, got, lua_tostring(L, -1));
}

static uint64_t arg_flag(lua_State *L, int idx, const struct lbpf_name *names)
{
	int64_t flag;

	if (lua_type(L, idx) != LUA_TSTRING)
		luaL_error(L, "flags must be a name or a sequence of names, got %s", luaL_typename(L, idx));
	if (!lbpf_arg_is_text(L, idx))
		luaL_error(L, "the name of a flag has a NUL byte in it");
	flag = lbpf_name_value(names, lua_tostring(L, idx));
	if (flag < 0)
		lbpf_name_unknown(L, names, "flag", lua_tostring(L, idx));
	return (uint64_t)flag;
}

static bool is_one_of(lua_State *L, int idx, const char *const *names)
{
	if (lua_type(L, idx) != LUA_TSTRING || !lbpf_arg_is_text(L, idx))
		return false;
	for (; names && *names; names++)
		if (strcmp(lua_tostring(L, idx), *names) == 0)
			return true;
	return false;
}

_Noreturn static void field_unknown(lua_State *L, int idx, const char *const *also)
{
	luaL_Buffer b;

	lbpf_arg_show(L, idx);
	luaL_buffinit(L, &b);
	for (; also && *also; also++)
		lbpf_list_add(&b, *also);
	lbpf_list_add(&b, "flags as a sequence");
	luaL_pushresult(&b);
	luaL_error(L, "unknown option '%s' (options: %s)", lua_tostring(L, -2), lua_tostring(L, -1));
}

uint64_t lbpf_arg_flags(lua_State *L, int idx, const struct lbpf_name *names, const char *const *also)
{
	uint64_t flags = 0;

	if (lua_isnoneornil(L, idx))
		return 0;
	if (!lua_istable(L, idx))
		return arg_flag(L, idx, names);
	luaL_checkstack(L, 6, NULL);
	idx = lua_absindex(L, idx);
	for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
		if (lua_isinteger(L, -2))
			flags |= arg_flag(L, -1, names);
		else if (!is_one_of(L, -2, also))
			field_unknown(L, -2, also);
	}
	return flags;
}

/* Raises an error about the option at the top of the stack. */
_Noreturn static void option_bad(lua_State *L, const char *what, const char *name, const char *expected)
{
	if (lua_type(L, -1) == LUA_TNUMBER)
		luaL_error(L, "%s: option '%s' must be %s, got %s", what, name, expected, luaL_tolstring(L, -1, NULL));
	else
		luaL_error(L, "%s: option '%s' must be %s, got %s", what, name, expected, luaL_typename(L, -1));
}

lua_Integer lbpf_arg_field(lua_State *L, const char *what, const char *name, lua_Integer min, lua_Integer max)
{
	int is_int;
	lua_Integer n = lua_tointegerx(L, -1, &is_int);

	if (is_int && lua_type(L, -1) == LUA_TNUMBER && n >= min && n <= max)
		return n;
	if (min == LUA_MININTEGER && max == LUA_MAXINTEGER)
		option_bad(L, what, name, "an integer");
	lua_pushfstring(L, "an integer from %I to %I", (LUAI_UACINT)min, (LUAI_UACINT)max);
	lua_insert(L, -2);
	option_bad(L, what, name, lua_tostring(L, -2));
}

static void option_store(lua_State *L, const struct lbpf_option *opt, void *out, const char *what)
{
	char *field = (char *)out + opt->offset;
	int is_int;
	lua_Integer n = lua_tointegerx(L, -1, &is_int);

	is_int = is_int && lua_type(L, -1) == LUA_TNUMBER;
	switch (opt->kind) {
	case LBPF_OPT_U32:
		if (!is_int || n < 0 || n > UINT32_MAX)
			option_bad(L, what, opt->name, "an integer from 0 to 4294967295");
		*(uint32_t *)(void *)field = (uint32_t)n;
		break;
	case LBPF_OPT_S32:
		if (!is_int || n < INT32_MIN || n > INT32_MAX)
			option_bad(L, what, opt->name, "an integer from -2147483648 to 2147483647");
		*(int32_t *)(void *)field = (int32_t)n;
		break;
	case LBPF_OPT_U64:
		if (!is_int)
			option_bad(L, what, opt->name, "an integer");
		*(uint64_t *)(void *)field = (uint64_t)n;
		break;
	case LBPF_OPT_BOOL:
		if (!lua_isboolean(L, -1))
			option_bad(L, what, opt->name, "a boolean");
		*(bool *)field = lua_toboolean(L, -1);
		break;
	case LBPF_OPT_STRING:
		if (lua_type(L, -1) != LUA_TSTRING)
			option_bad(L, what, opt->name, "a string");
		if (!lbpf_arg_is_text(L, -1))
			luaL_error(L, "%s: option '%s' has a NUL byte in it", what, opt->name);
		*(const char **)(void *)field = lua_tostring(L, -1);
		break;
	case LBPF_OPT_BYTES:
		if (lua_type(L, -1) != LUA_TSTRING)
			option_bad(L, what, opt->name, "a string");
		break;
	case LBPF_OPT_OTHER:
		break;
	}
}

_Noreturn static void option_unknown(lua_State *L, const struct lbpf_option *options, const char *what)
{
	luaL_Buffer b;

	lbpf_arg_show(L, -2);
	luaL_buffinit(L, &b);
	for (const struct lbpf_option *opt = options; opt->name; opt++)
		lbpf_list_add(&b, opt->name);
	luaL_pushresult(&b);
	luaL_error(L, "%s: unknown option '%s' (options: %s)", what, lua_tostring(L, -2), lua_tostring(L, -1));
}

void lbpf_arg_own(lua_State *L, int idx)
{
	int copy;

	if (!lua_istable(L, idx))
		return;
	luaL_checkstack(L, 5, NULL);
	idx = lua_absindex(L, idx);
	lua_newtable(L);
	copy = lua_gettop(L);
	for (lua_pushnil(L); lua_next(L, idx);) {
		lua_pushvalue(L, -2);
		lua_insert(L, -2);
		lua_rawset(L, copy);
	}
	lua_replace(L, idx);
}

void lbpf_arg_options(lua_State *L, int idx, const struct lbpf_option *options, void *out, const char *what)
{
	if (lua_isnoneornil(L, idx))
		return;
	luaL_checktype(L, idx, LUA_TTABLE);
	luaL_checkstack(L, 8, NULL);
	idx = lua_absindex(L, idx);
	for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
		const char *name =
			lua_type(L, -2) == LUA_TSTRING && lbpf_arg_is_text(L, -2) ? lua_tostring(L, -2) : NULL;
		const struct lbpf_option *opt = options;

		while (opt->name && !(name && strcmp(opt->name, name) == 0))
			opt++;
		if (!opt->name)
			option_unknown(L, options, what);
		option_store(L, opt, out, what);
	}
}

void lbpf_set_integer(lua_State *L, const char *key, lua_Integer value)
{
	lua_pushinteger(L, value);
	lua_setfield(L, -2, key);
}

void lbpf_set_string(lua_State *L, const char *key, const char *value)
{
	lua_pushstring(L, value);
	lua_setfield(L, -2, key);
}

/* if_nametoindex with the right errno, even if no socket can be opened. Returns the index. */
static int interface_number(const char *name, uint32_t *number)
{
	struct ifreq ask = { .ifr_ifindex = 0 };
	size_t len = strlen(name);
	int fd, err;

	if (len >= sizeof(ask.ifr_name))
		return errno = ENODEV;
	memcpy(ask.ifr_name, name, len);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	err = ioctl(fd, SIOCGIFINDEX, &ask) ? errno : 0;
	close(fd);
	errno = err;
	*number = (uint32_t)ask.ifr_ifindex;
	return err;
}

int lbpf_arg_interface(lua_State *L, const char *name, uint32_t *number)
{
	int err = interface_number(name, number);

	if (err && lbpf_spare_again(L, 1))
		err = interface_number(name, number);
	if (!err)
		return 0;
	if (err == ENODEV) {
		lua_pushfstring(L, "no such network interface '%s'", name);
		return ENODEV;
	}
	lua_pushfstring(L, "network interface '%s': %s", name, strerrordesc_np(err));
	return err;
}
