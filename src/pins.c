/* SPDX-License-Identifier: MIT */
/* The pins of an object. What fails leaves neither pins nor folders. */
#include "pins.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "arg.h"
#include "bpffd.h"
#include "cause.h"
#include "err.h"
#include "map.h"
#include "object.h"

/* A walk over the pins. */
struct pins {
	int (*act)(int fd, const char *path); /* returns an errno */
	const char *dir;
	size_t most, done; /* how many to do, and how many are done */
	char *path;	   /* of the last one */
};

static int pin_one(int fd, const char *path)
{
	return bpf_obj_pin(fd, path) ? errno : 0;
}

/* The kernel has no dots in the names of pins. Returns an errno. */
static int pin_named(struct pins *pins, int fd, const char *name)
{
	int n, err;

	if (fd < 0 || pins->done == pins->most)
		return 0;
	n = snprintf(pins->path, PATH_MAX, "%s/%s", pins->dir, name);
	if (n >= PATH_MAX)
		return ENAMETOOLONG;
	for (char *c = pins->path + strlen(pins->dir); (c = strchr(c, '.'));)
		*c = '_';
	err = pins->act(fd, pins->path);
	pins->done += !err;
	return err;
}

static int each_pin(const struct bpf_object *obj, struct pins *pins)
{
	struct bpf_program *prog = NULL;
	struct bpf_map *map = NULL;
	int err = 0;

	while (!err && (map = bpf_object__next_map(obj, map)))
		err = pin_named(pins, lbpf_map_created_fd(map), bpf_map__name(map));
	while (!err && (prog = bpf_object__next_program(obj, prog)))
		err = pin_named(pins, bpf_program__fd(prog), bpf_program__name(prog));
	return err;
}

int lbpf_pins_make(const struct bpf_object *obj, const char *dir, struct lbpf_pins_failure *failure)
{
	struct pins pins = { .act = pin_one, .dir = dir, .most = SIZE_MAX, .path = failure->path };
	char undone[PATH_MAX];
	bool made = mkdir(dir, 0700) == 0;
	int err = !made && errno != EEXIST ? errno : 0;

	snprintf(failure->path, sizeof(failure->path), "%s", dir);
	if (!err)
		err = each_pin(obj, &pins);
	if (!err)
		return 0;
	failure->cause = lbpf_pin_cause(failure->path, err);
	pins = (struct pins){ .act = lbpf_fd_unpin, .dir = dir, .most = pins.done, .path = undone };
	each_pin(obj, &pins);
	if (made)
		rmdir(dir);
	return err;
}

int lbpf_pins_remove(const struct bpf_object *obj, const char *dir, struct lbpf_pins_failure *failure)
{
	struct pins pins = { .act = lbpf_fd_unpin, .dir = dir, .most = SIZE_MAX, .path = failure->path };

	failure->cause = NULL;
	return each_pin(obj, &pins);
}

/* Puts the name of the folder that libbpf will make there; an empty one if it needn't. */
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

int lbpf_pins_load(struct bpf_object *obj)
{
	char made[PATH_MAX];
	int err, saved;

	missing_folder(obj, made, sizeof(made));
	err = bpf_object__load(obj);
	saved = errno;
	if (err && *made)
		rmdir(made);
	errno = saved;
	return err;
}

/* ---- as methods ---- */

static struct lbpf_object *pins_check(lua_State *L)
{
	struct lbpf_object *o;

	lbpf_arg_string(L, 2); /* makes a string of a number, which may run a finalizer */
	o = lbpf_object_check(L);
	if (!o->loaded)
		luaL_error(L, "object '%s' is not loaded; call obj:load() first", o->name);
	return o;
}

/*** Pins all maps and loaded programs of the object in a folder, each under its name, with `_` for dots. If one can't
be, none is.
@function object:pin
@tparam string dir on a bpffs; it is made if it isn't there
@treturn true
@treturn nil,string,string on failure: EEXIST, EPERM (no bpffs), ENOENT, …
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

/*** Removes what object:pin pinned.
@function object:unpin
@tparam string dir as it was given to object:pin
@treturn true
@treturn nil,string,string on failure: ENOENT, EINVAL (the pin of something else), EPERM, …
@see bpf_object__unpin */
static int object_unpin(lua_State *L)
{
	struct lbpf_object *o = pins_check(L);
	struct lbpf_pins_failure failure;
	int err = lbpf_pins_remove(o->obj, lua_tostring(L, 2), &failure);

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
