/* SPDX-License-Identifier: MIT */
/* Checks whether a pinned map is the one that an object declares.
 *
 * libbpf compares them as well, but reports only that they differ. It doesn't know what kernels change by themselves,
 * and doesn't compare types. So we compare, and give libbpf the descriptor. */
#define _GNU_SOURCE
#include "object/pinned.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <linux/bpf.h>

#include "base/bpffd.h"
#include "btf/same.h"
#include "map/declared.h"
#include "map/kinds.h"

/* Flags that apply to the descriptor of a new map, and that the map itself doesn't keep. */
#define DESCRIPTOR_FLAGS ((uint32_t)(BPF_F_RDONLY | BPF_F_WRONLY))

/* Flags that kernels add to those that a map is created with: in device maps, programs can look up the device's number
 * but not change it. */
static uint32_t added_flags(uint32_t type)
{
	return type == BPF_MAP_TYPE_DEVMAP || type == BPF_MAP_TYPE_DEVMAP_HASH ? BPF_F_RDONLY_PROG : 0;
}

/* How many entries the kernel creates if so many are declared. libbpf computes the same for perf_event_array. */
static uint32_t made_entries(uint32_t type, uint32_t flags, uint32_t entries)
{
	bool divided =
		(type == BPF_MAP_TYPE_LRU_HASH || type == BPF_MAP_TYPE_LRU_PERCPU_HASH) && flags & BPF_F_NO_COMMON_LRU;
	int cpus = libbpf_num_possible_cpus();
	uint32_t part = cpus > 0 ? (uint32_t)cpus : 1, rest = entries % part;

	if (type == BPF_MAP_TYPE_PERF_EVENT_ARRAY && !entries)
		return part;
	if (!divided || !rest)
		return entries;
	return entries > UINT32_MAX - part ? entries - rest : entries - rest + part;
}

/* ---- what differs ---- */

/* Adds text to the cause. */
__attribute__((format(printf, 2, 3))) static void say(struct lbpf_pinned *p, const char *fmt, ...)
{
	size_t len = strlen(p->cause);
	va_list args;

	va_start(args, fmt);
	vsnprintf(p->cause + len, sizeof(p->cause) - len, fmt, args);
	va_end(args);
}

static void say_flags(struct lbpf_pinned *p, uint32_t flags)
{
	const char *separator = "";

	for (const struct lbpf_name *flag = lbpf_map_flags; flag->name; flag++)
		if (flags & flag->value) {
			say(p, "%s%s", separator, flag->name);
			separator = "+";
		}
	say(p, "%s", flags ? "" : "none");
}

/* Compares one number. Returns whether it is the same. */
static bool same_number(struct lbpf_pinned *p, const char *what, uint64_t found, uint64_t wanted)
{
	if (found == wanted)
		return true;
	say(p, "; %s is %llu, wanted %llu", what, (unsigned long long)found, (unsigned long long)wanted);
	return false;
}

static bool same_flags(struct lbpf_pinned *p, const struct bpf_map_info *info, uint32_t wanted)
{
	uint32_t ignored = DESCRIPTOR_FLAGS | (added_flags(info->type) & ~wanted);

	if ((info->map_flags & ~ignored) == (wanted & ~DESCRIPTOR_FLAGS))
		return true;
	say(p, "; map_flags is ");
	say_flags(p, info->map_flags & ~ignored);
	say(p, ", wanted ");
	say_flags(p, wanted & ~DESCRIPTOR_FLAGS);
	return false;
}

static bool same_parameters(struct lbpf_pinned *p, const struct bpf_map *map, const struct bpf_map_info *info)
{
	uint32_t type = bpf_map__type(map), flags = bpf_map__map_flags(map);
	bool same;

	if (info->type != type) {
		say(p, "; type is %s, wanted %s", lbpf_mapkind_of(info->type)->name, lbpf_mapkind_of(type)->name);
		return false;
	}
	same = same_number(p, "key_size", info->key_size, bpf_map__key_size(map));
	same &= same_number(p, "value_size", info->value_size, bpf_map__value_size(map));
	same &= same_number(p, "max_entries", info->max_entries, made_entries(type, flags, bpf_map__max_entries(map)));
	same &= same_flags(p, info, flags);
	same &= same_number(p, "map_extra", info->map_extra, bpf_map__map_extra(map));
	return same;
}

static bool same_types(struct lbpf_pinned *p, struct lbpf_declared ids, const struct btf *wanted,
		       const struct bpf_map_info *info, const struct btf *found)
{
	const struct {
		const char *what;
		uint32_t found, wanted;
	} both[] = {
		{ "key", info->btf_key_type_id, ids.key },
		{ "value", info->btf_value_type_id, ids.value },
	};
	struct lbpf_btfsame same = { .found = found, .wanted = wanted };

	for (size_t i = 0; i < sizeof(both) / sizeof(*both); i++) {
		if (!both[i].found || !both[i].wanted)
			continue;
		snprintf(same.path, sizeof(same.path), "%s", both[i].what);
		if (!lbpf_btfsame(&same, both[i].found, both[i].wanted)) {
			say(p, "; %s (option 'pin_any_type' takes it)", same.difference);
			return false;
		}
	}
	return true;
}

/* Compares the types, if both maps have any. Returns 0 or an errno. Reading the types of a map needs CAP_SYS_ADMIN. */
static int compare_types(struct lbpf_pinned *p, const struct bpf_object *obj, const struct bpf_map *map,
			 const struct bpf_map_info *info)
{
	struct btf *wanted = bpf_object__btf(obj), *found;
	struct lbpf_declared ids;
	int err;

	if (p->any_type || !info->btf_id || !wanted || bpf_map__is_internal(map))
		return 0;
	found = btf__load_from_kernel_by_id(info->btf_id);
	if (!found)
		return errno == EPERM || errno == EACCES ? 0 : errno;
	ids = lbpf_declared_types(map, lbpf_declared_name(obj, map), wanted);
	err = same_types(p, ids, wanted, info, found) ? 0 : EINVAL;
	btf__free(found);
	return err;
}

/* ---- using what is there ---- */

/* Returns 0 or an errno. */
static int compare(struct lbpf_pinned *p, const struct bpf_object *obj, const struct bpf_map *map, int fd)
{
	const char *name = lbpf_declared_name(obj, map), *path = bpf_map__pin_path(map);
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);
	size_t begin;
	int err;

	if (!lbpf_fd_is_map(fd)) {
		say(p, "map '%s': '%s' is the pin of something else, no map", name, path);
		return EINVAL;
	}
	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return errno;
	say(p, "map '%s': another map is pinned at '%s'", name, path);
	begin = strlen(p->cause);
	err = same_parameters(p, map, &info) ? compare_types(p, obj, map, &info) : EINVAL;
	if (begin < sizeof(p->cause) - 1 && p->cause[begin] == ';')
		p->cause[begin] = ':';
	else
		*p->cause = '\0';
	return err;
}

/* Makes libbpf use the descriptor instead of the pin. Returns 0 or an errno. */
static int use(struct lbpf_pinned *p, struct bpf_map *map, int fd)
{
	size_t len = strlen(bpf_map__pin_path(map)) + 1;
	struct lbpf_pinned_map *used = malloc(sizeof(*used) + len);

	if (!used)
		return ENOMEM;
	used->map = map;
	memcpy(used->path, bpf_map__pin_path(map), len);
	used->next = p->maps;
	p->maps = used;
	if (bpf_map__reuse_fd(map, fd) || bpf_map__set_pin_path(map, NULL))
		return errno;
	return 0;
}

static int begin_map(struct lbpf_pinned *p, const struct bpf_object *obj, struct bpf_map *map)
{
	LIBBPF_OPTS(bpf_obj_get_opts, opts, .file_flags = bpf_map__map_flags(map) & DESCRIPTOR_FLAGS);
	const char *path = bpf_map__pin_path(map);
	int fd, err;

	if (!path || !bpf_map__autocreate(map) || bpf_map__fd(map) >= 0 ||
	    /* Libbpf sets the sizes of these when it loads the object. */
	    bpf_map__type(map) == BPF_MAP_TYPE_STRUCT_OPS)
		return 0;
	fd = bpf_obj_get_opts(path, &opts);
	if (fd < 0) {
		err = errno;
		if (err == ENOENT)
			return 0;
		say(p, "map '%s': opening its pin '%s': %s", lbpf_declared_name(obj, map), path, strerrordesc_np(err));
		return err;
	}
	err = compare(p, obj, map, fd);
	if (!err)
		err = use(p, map, fd);
	close(fd);
	return err;
}

int lbpf_pinned_begin(struct lbpf_pinned *pinned, struct bpf_object *obj)
{
	struct bpf_map *map;
	int err = 0;

	pinned->maps = NULL;
	*pinned->cause = '\0';
	for (map = bpf_object__next_map(obj, NULL); map && !err; map = bpf_object__next_map(obj, map))
		err = begin_map(pinned, obj, map);
	return err;
}

void lbpf_pinned_end(struct lbpf_pinned *pinned)
{
	struct lbpf_pinned_map *used;

	while ((used = pinned->maps)) {
		pinned->maps = used->next;
		bpf_map__set_pin_path(used->map, used->path);
		free(used);
	}
}
