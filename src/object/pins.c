/* SPDX-License-Identifier: MIT */
/* The pins of an object. An operation that fails leaves no pins and no folders behind. */
#include "object/pins.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/arg.h"
#include "base/bpffd.h"
#include "base/cause.h"
#include "base/err.h"
#include "base/spare.h"
#include "map/declared.h"
#include "map/map.h"
#include "object/object.h"

/* The state of going over all pins. */
struct pins {
	int (*act)(int fd, const char *path); /* returns an errno */
	const char *dir;
	bool all; /* go on after a failure */
	/* How many pins to handle; how many were handled, or tried if it continues after failures. */
	size_t most, done;
	int err; /* the first failure */
	struct lbpf_pins_failure *failure;
};

static int make_pin(int fd, const char *path)
{
	return bpf_obj_pin(fd, path) ? errno : 0;
}

/* Removes a pin that has just been made. lbpf_fd_unpin would need a descriptor to check whose pin it is. */
static int undo_pin(int fd, const char *path)
{
	(void)fd;
	return unlink(path) ? errno : 0;
}

/* Handles one pin; names of pins have no dots, which the kernel refuses. Returns whether to continue. */
static bool pin_named(struct pins *pins, int fd, const char *name)
{
	char path[PATH_MAX];
	int n, err = ENAMETOOLONG;

	if (fd < 0)
		return true;
	n = snprintf(path, sizeof(path), "%s/%s", pins->dir, name);
	for (char *c = path + strlen(pins->dir); n < PATH_MAX && (c = strchr(c, '.'));)
		*c = '_';
	if (n < PATH_MAX)
		err = pins->act(fd, path);
	pins->done += !err || pins->all;
	if (err && !pins->err) {
		pins->err = err;
		memcpy(pins->failure->path, path, sizeof(path));
	}
	return (!err || pins->all) && pins->done < pins->most;
}

/* Returns the errno of the first failure. */
static int each_pin(const struct bpf_object *obj, struct pins *pins)
{
	struct bpf_program *prog = NULL;
	struct bpf_map *map = NULL;
	bool more = pins->most > 0;

	while (more && (map = bpf_object__next_map(obj, map)))
		more = pin_named(pins, lbpf_map_created_fd(map), lbpf_declared_name(obj, map));
	while (more && (prog = bpf_object__next_program(obj, prog)))
		more = pin_named(pins, bpf_program__fd(prog), bpf_program__name(prog));
	return pins->err;
}

int lbpf_pins_make(const struct bpf_object *obj, const char *dir, struct lbpf_pins_failure *failure)
{
	struct pins pins = { .act = make_pin, .dir = dir, .most = SIZE_MAX, .failure = failure };
	struct lbpf_pins_failure ignored;
	bool made = mkdir(dir, 0700) == 0;
	int err = !made && errno != EEXIST ? errno : 0;

	snprintf(failure->path, sizeof(failure->path), "%s", dir);
	if (!err)
		err = each_pin(obj, &pins);
	if (!err)
		return 0;
	failure->cause = lbpf_pin_cause(failure->path, err);
	pins = (struct pins){ .act = undo_pin, .dir = dir, .all = true, .most = pins.done, .failure = &ignored };
	each_pin(obj, &pins);
	if (made)
		rmdir(dir);
	return err;
}

int lbpf_pins_remove(const struct bpf_object *obj, const char *dir, struct lbpf_pins_failure *failure)
{
	struct pins pins = { .act = lbpf_fd_unpin, .dir = dir, .all = true, .most = SIZE_MAX, .failure = failure };

	failure->cause = NULL;
	return each_pin(obj, &pins);
}

/* Stores the name of the folder that libbpf will create; "" if it won't create one. */
static void missing_folder(const struct bpf_object *obj, char *dir, size_t size)
{
	const struct bpf_map *map = NULL;
	const char *path = NULL, *slash;
	int n;

	while (!path && (map = bpf_object__next_map(obj, map)))
		path = bpf_map__pin_path(map);
	slash = path ? strrchr(path, '/') : NULL;
	n = slash ? snprintf(dir, size, "%.*s", (int)(slash - path), path) : 0;
	if (n <= 0 || n >= (int)size || access(dir, F_OK) == 0)
		*dir = '\0';
}

int lbpf_pins_load(struct bpf_object *obj, struct lbpf_pinned *pinned)
{
	char made[PATH_MAX];
	int err, saved;

	missing_folder(obj, made, sizeof(made));
	err = -lbpf_pinned_begin(pinned, obj);
	if (!err)
		err = bpf_object__load(obj);
	saved = errno;
	lbpf_pinned_end(pinned);
	if (err && *made)
		rmdir(made);
	errno = saved;
	return err;
}

/* ---- as methods ---- */

static struct lbpf_object *pins_check(lua_State *L)
{
	struct lbpf_object *o;

	lbpf_arg_string(L, 2); /* converts a number to a string, which may run a finalizer */
	o = lbpf_object_check(L);
	if (!o->loaded)
		luaL_error(L, "object '%s' is not loaded; call obj:load() first", o->name);
	return o;
}

/*** Pins all maps and all loaded programs of the object in a directory, each under its name, with `_` for dots. If one
can't be pinned, none is.
@function object:pin
@tparam string dir on a bpffs; the call creates the directory if it does not exist
@treturn true
@treturn nil,string,string on failure: EEXIST, EPERM (no bpffs), ENOENT, …
@usage
assert(obj:pin(dir .. "/counters")) -- dir is a directory of a bpffs, such as "/sys/fs/bpf"
local events <close> = assert(map.open(dir .. "/counters/events"))
assert(obj:unpin(dir .. "/counters"))
@see bpf_object__pin */
static int object_pin(lua_State *L)
{
	struct lbpf_object *o = pins_check(L);
	struct lbpf_pins_failure failure;
	int err = lbpf_pins_make(o->obj, lua_tostring(L, 2), &failure);

	if (err)
		return lbpf_err_push(L, err, failure.cause, "object '%s': pin '%s'", o->name, failure.path);
	lua_pushboolean(L, 1);
	return 1;
}

/*** Removes the pins that object:pin made. If a pin can't be removed, the call removes the other pins all the same, and
returns the first failure.
@function object:unpin
@tparam string dir the directory that was given to object:pin
@treturn true
@treturn nil,string,string on failure: ENOENT, EINVAL (the pin of something else), EPERM, …
@usage
assert(obj:pin(dir .. "/counters"))
assert(obj:unpin(dir .. "/counters"))
@see bpf_object__unpin */
static int object_unpin(lua_State *L)
{
	struct lbpf_pins_failure failure;
	struct lbpf_object *o;
	int err;

	lbpf_spare(L, 1); /* to check whose pin it is */
	o = pins_check(L);
	err = lbpf_pins_remove(o->obj, lua_tostring(L, 2), &failure);

	if (err)
		return lbpf_err_push(L, err, NULL, "object '%s': unpin '%s'", o->name, failure.path);
	lua_pushboolean(L, 1);
	return 1;
}

static const luaL_Reg object_methods[] = {
	{ "pin", object_pin },
	{ "unpin", object_unpin },
	{ NULL, NULL },
};

void lbpf_pins_open(lua_State *L)
{
	lbpf_class_add_methods(L, &lbpf_object_class, object_methods);
}
