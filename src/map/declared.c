/* SPDX-License-Identifier: MIT */
/* The types that an object declares for its maps.
 *
 * libbpf has their ids. But if it uses an existing map instead of creating one (a map that is pinned, or that its host
 * set), it takes over the ids of that map, which refer to another BTF. Then the types are found in the object's BTF by
 * name, as libbpf does when it opens an object. */
#include "map/declared.h"

#include <stdbool.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <linux/bpf.h>

/* The kernel's id of the BTF that was loaded with the object; 0 if none was. */
static uint32_t kernel_id(const struct btf *btf)
{
	struct bpf_btf_info info = { 0 };
	uint32_t len = sizeof(info);
	int fd = btf__fd(btf);

	return fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len) ? 0 : info.id;
}

/* Whether the map was created with other BTF than the object's, or without BTF, as libbpf creates maps of some types.
 * The BTF of a struct_ops map is the kernel's. */
static bool is_foreign(const struct bpf_map *map, const struct btf *btf)
{
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info), own;
	int fd = bpf_map__autocreate(map) ? bpf_map__fd(map) : -1;

	if (fd < 0 || bpf_map__type(map) == BPF_MAP_TYPE_STRUCT_OPS || bpf_obj_get_info_by_fd(fd, &info, &len))
		return false;
	own = kernel_id(btf);
	return !own || info.btf_id != own;
}

/* The section of variables that the map holds. libbpf prepends the object's name to the names of the usual sections. */
static uint32_t section_id(const struct btf *btf, const char *name)
{
	const char *section = *name == '.' ? name : strrchr(name, '.');
	int id = section ? btf__find_by_name_kind(btf, section, BTF_KIND_DATASEC) : 0;

	return id < 0 ? 0 : (uint32_t)id;
}

/* The struct that declares the map in section .maps. */
static const struct btf_type *declaration(const struct btf *btf, const char *name)
{
	int id = btf__find_by_name_kind(btf, ".maps", BTF_KIND_DATASEC);
	const struct btf_type *t = id < 0 ? NULL : btf__type_by_id(btf, (uint32_t)id), *var;

	for (uint16_t i = 0; t && i < btf_vlen(t); i++) {
		var = btf__type_by_id(btf, btf_var_secinfos(t)[i].type);
		if (!var || strcmp(btf__name_by_offset(btf, var->name_off), name) != 0)
			continue;
		do
			var = btf__type_by_id(btf, var->type);
		while (var && (btf_is_mod(var) || btf_is_typedef(var)));
		return var && btf_is_struct(var) ? var : NULL;
	}
	return NULL;
}

/* A member is a pointer to the type. */
static uint32_t member_id(const struct btf *btf, const struct btf_type *map, const char *name)
{
	for (uint16_t i = 0; map && i < btf_vlen(map); i++) {
		const struct btf_member *m = btf_members(map) + i;
		const struct btf_type *t = btf__type_by_id(btf, m->type);

		if (strcmp(btf__name_by_offset(btf, m->name_off), name) == 0)
			return t && btf_is_ptr(t) ? t->type : 0;
	}
	return 0;
}

/* libbpf creates the maps of section .maps first, in the order of their variables. */
const char *lbpf_declared_name(const struct bpf_object *obj, const struct bpf_map *map)
{
	const struct btf *btf = bpf_object__btf(obj);
	int id = btf ? btf__find_by_name_kind(btf, ".maps", BTF_KIND_DATASEC) : -1;
	const struct btf_type *t = id < 0 ? NULL : btf__type_by_id(btf, (uint32_t)id), *var;
	const struct bpf_map *other = NULL;
	uint16_t i = 0;

	for (; t && i < btf_vlen(t) && (other = bpf_object__next_map(obj, other)); i++) {
		var = other == map ? btf__type_by_id(btf, btf_var_secinfos(t)[i].type) : NULL;
		if (var)
			return btf__name_by_offset(btf, var->name_off);
	}
	return bpf_map__name(map);
}

struct lbpf_declared lbpf_declared_types(const struct bpf_map *map, const char *name, const struct btf *btf)
{
	struct lbpf_declared ids = { bpf_map__btf_key_type_id(map), bpf_map__btf_value_type_id(map) };
	const struct btf_type *t;

	if (!btf || !is_foreign(map, btf))
		return ids;
	if (bpf_map__is_internal(map))
		return (struct lbpf_declared){ 0, section_id(btf, name) };
	t = declaration(btf, name);
	return (struct lbpf_declared){ member_id(btf, t, "key"), member_id(btf, t, "value") };
}
