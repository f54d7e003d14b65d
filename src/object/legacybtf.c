/* SPDX-License-Identifier: MIT */
/* libbpf reads the attributes of a map from a variable in the DATASEC .maps. The variable's type is a struct with a
 * pointer for each attribute: a pointer to an array of N elements for the number N, or a pointer to the type of the
 * keys or values.
 *
 * Variables of old definitions have other types, in DATASECs of their own. These DATASECs become plain structs of the
 * same size, so that every id stays. */
#include "object/legacybtf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/btf.h>
#include <linux/bpf.h>
#include <linux/btf.h>

#include "btf/check.h"

enum { MEMBERS_MAX = 9, POINTER = 8 };

/* A map's struct while it is built. */
struct members {
	const char *name[MEMBERS_MAX];
	int type[MEMBERS_MAX];
	int n;
	int err;
};

static void member_add(struct members *m, const char *name, int type)
{
	if (type < 0) {
		m->err = type;
		return;
	}
	m->name[m->n] = name;
	m->type[m->n++] = type;
}

/* Adds a number. The array has elements of one byte, because the kernel requires that its size fits into 32 bits. */
static void member_number(struct btf *btf, struct members *m, const char *name, int byte, uint32_t value)
{
	int array = btf__add_array(btf, byte, byte, value);

	member_add(m, name, array < 0 ? array : btf__add_ptr(btf, array));
}

/* Adds keys or values: by their type if it is known, otherwise by their size. */
static void member_data(struct btf *btf, struct members *m, const char *const names[2], int byte, int type,
			uint32_t size)
{
	if (type)
		member_add(m, names[0], btf__add_ptr(btf, type));
	else
		member_number(btf, m, names[1], byte, size);
}

/* Finds the types that the macro BPF_ANNOTATE_KV_PAIR has recorded: struct ____btf_map_<name> { key; value; }. If their
 * sizes differ from the definition's, they are ignored. */
static void find_types(const struct btf *btf, const struct lbpf_mapdef *def, uint32_t types[2])
{
	const uint32_t sizes[2] = { def->key_size, def->value_size };
	const struct btf_type *t;
	char name[256];
	int id;

	types[0] = types[1] = 0;
	if ((size_t)snprintf(name, sizeof(name), "____btf_map_%s", def->name) >= sizeof(name))
		return;
	id = btf__find_by_name_kind(btf, name, BTF_KIND_STRUCT);
	t = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
	if (!t || btf_vlen(t) < 2)
		return;
	for (int i = 0; i < 2; i++) {
		uint32_t type = btf_members(t)[i].type;

		if (type > INT32_MAX || sizes[i] == 0 || btf__resolve_size(btf, type) != (int64_t)sizes[i]) {
			types[0] = types[1] = 0;
			return;
		}
		types[i] = type;
	}
}

/* Adds the struct that describes a map, or the template of its inner maps. Returns its id or an error. */
static int add_struct(struct btf *btf, struct lbpf_mapdef *def, const struct lbpf_mapdef *said, int byte, int inner)
{
	static const char *const keys[2] = { "key", "key_size" }, *const values[2] = { "value", "value_size" };
	struct members m = { .n = 0 };
	uint32_t types[2];
	int id;

	find_types(btf, said, types);
	member_number(btf, &m, "type", byte, said->type);
	member_data(btf, &m, keys, byte, (int)types[0], said->key_size);
	member_data(btf, &m, values, byte, (int)types[1], said->value_size);
	member_number(btf, &m, "max_entries", byte, said->max_entries);
	if (said->flags)
		member_number(btf, &m, "map_flags", byte, said->flags);
	if (said->flags & BPF_F_NUMA_NODE)
		member_number(btf, &m, "numa_node", byte, said->numa_node);
	if (def && said->pinned)
		member_number(btf, &m, "pinning", byte, 1); /* LIBBPF_PIN_BY_NAME */
	if (def) {
		def->values = (uint32_t)m.n * POINTER;
		def->size = def->values + def->slots * POINTER;
	}
	id = btf__add_struct(btf, NULL, (uint32_t)m.n * POINTER);
	for (int i = 0; i < m.n && id >= 0 && !m.err; i++)
		m.err = btf__add_field(btf, m.name[i], m.type[i], (uint32_t)i * POINTER * 8, 0);
	if (id >= 0 && !m.err && inner)
		m.err = btf__add_field(btf, "values", inner, (uint32_t)m.n * POINTER * 8, 0);
	return m.err ? m.err : id;
}

/* Adds an array without elements, of pointers to a template. */
static int add_inner(struct btf *btf, const struct lbpf_mapdef *inner, int byte)
{
	int id = add_struct(btf, NULL, inner, byte, 0);

	id = id < 0 ? id : btf__add_ptr(btf, id);
	return id < 0 ? id : btf__add_array(btf, byte, id, 0);
}

/* Adds the variable of a map. Returns its id or an error. */
static int add_var(struct btf *btf, struct lbpf_mapdef *def, int byte)
{
	int inner = def->inner ? add_inner(btf, def->inner, byte) : 0;
	int id = inner < 0 ? inner : add_struct(btf, def, def, byte, inner);

	return id < 0 ? id : btf__add_var(btf, def->name, BTF_VAR_GLOBAL_ALLOCATED, id);
}

/* ---- the DATASECs that were there ---- */

/* libbpf returns its own memory as const. After a call of btf__add_… it may be written. */
static struct btf_type *type_at(const struct btf *btf, uint32_t id)
{
	return (struct btf_type *)(uintptr_t)btf__type_by_id(btf, id);
}

/* Converts a DATASEC to a struct without a name; the variables become its members. */
static const char *retire(const struct btf *btf, struct btf_type *sec)
{
	uint32_t n = btf_vlen(sec), size = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct btf_var_secinfo info = btf_var_secinfos(sec)[i];
		const struct btf_type *var = btf__type_by_id(btf, info.type);
		struct btf_member *member = btf_members(sec) + i;

		if (!var || !btf_is_var(var))
			return ".BTF: a section holds what is no variable";
		member->name_off = var->name_off;
		member->type = var->type;
		if (size > UINT32_MAX / 8 || info.size > UINT32_MAX / 8 - size)
			return ".BTF: the section of old maps is too large";
		member->offset = size * 8;
		size += info.size;
	}
	sec->name_off = 0;
	sec->info = (uint32_t)BTF_KIND_STRUCT << 24 | n;
	sec->size = size;
	return NULL;
}

/* Moves the variables that were in .maps already to our own DATASEC. */
struct kept {
	struct kept_var {
		uint32_t var, offset, size;
	} * vars;
	uint32_t n;
};

static const char *keep(const struct lbpf_legacybtf *b, const struct btf *btf, const struct btf_type *sec,
			struct kept *kept, int *code)
{
	uint32_t n = btf_vlen(sec);

	if (kept->vars)
		return ".BTF: two sections .maps";
	kept->vars = calloc(n + 1, sizeof(*kept->vars));
	if (!kept->vars) {
		*code = ENOMEM;
		return "no memory";
	}
	for (uint32_t i = 0; i < n; i++) {
		const struct btf_var_secinfo *info = btf_var_secinfos(sec) + i;
		const struct btf_type *var = btf__type_by_id(btf, info->type);
		const char *name = var && btf_is_var(var) ? btf__name_by_offset(btf, var->name_off) : NULL;

		if (!name || !b->place(b->ctx, name, &kept->vars[i].offset))
			return ".BTF: .maps has a variable that the object doesn't";
		kept->vars[i].var = info->type;
		kept->vars[i].size = info->size;
		kept->n++;
	}
	return NULL;
}

static const char *retire_all(const struct lbpf_legacybtf *b, const struct btf *btf, struct kept *kept, int *code)
{
	uint32_t n = btf__type_cnt(btf);
	const char *cause = NULL;

	for (uint32_t id = 1; id < n && !cause; id++) {
		struct btf_type *t = type_at(btf, id);
		const char *name = t && btf_is_datasec(t) ? btf__name_by_offset(btf, t->name_off) : NULL;
		bool maps = name && strcmp(name, ".maps") == 0;

		if (maps)
			cause = keep(b, btf, t, kept, code);
		if (!cause && name && (maps || b->is_legacy(name)))
			cause = retire(btf, t);
	}
	return cause;
}

/* ---- putting it together ---- */

/* libbpf 1.1 adds the header's length to an address without checking it. And what it writes is wrong unless types and
 * strings are adjacent, as compilers place them. */
static bool header_ok(const void *bytes, size_t size)
{
	struct btf_header h;

	if (size < LBPF_BTF_HEADER)
		return false;
	memcpy(&h, bytes, LBPF_BTF_HEADER);
	return h.magic == BTF_MAGIC && h.hdr_len >= LBPF_BTF_HEADER && h.hdr_len % 4 == 0 && h.hdr_len <= size &&
		h.type_off == 0 && h.str_off == h.type_len && (uint64_t)h.str_off + h.str_len <= size - h.hdr_len;
}

/* Adds the maps and their DATASEC. Returns 0 or an error. */
static int add_maps(struct lbpf_legacybtf *b, struct btf *btf, struct lbpf_mapdef *maps, size_t n, int byte,
		    const struct kept *kept)
{
	uint32_t at = b->taken;
	int *vars = calloc(n, sizeof(*vars)), err = vars ? 0 : -ENOMEM;

	for (size_t i = 0; i < n && !err; i++) {
		vars[i] = add_var(btf, &maps[i], byte);
		err = vars[i] < 0 ? vars[i] : 0;
	}
	/* libbpf creates maps in this order, so those that hold other maps come last */
	for (size_t i = 0; i < 2 * n && !err; i++)
		if ((i >= n) == (maps[i % n].slots > 0)) {
			maps[i % n].offset = at;
			if (__builtin_add_overflow(at, maps[i % n].size, &at))
				err = -E2BIG;
		}
	b->maps_size = at;
	if (!err)
		err = btf__add_datasec(btf, ".maps", at);
	for (uint32_t i = 0; i < kept->n && err >= 0; i++)
		err = btf__add_datasec_var_info(btf, (int)kept->vars[i].var, kept->vars[i].offset, kept->vars[i].size);
	for (size_t i = 0; i < n && err >= 0; i++)
		err = btf__add_datasec_var_info(btf, vars[i], maps[i].offset, maps[i].size);
	free(vars);
	return err < 0 ? err : 0;
}

static const char *make(struct lbpf_legacybtf *b, struct btf *btf, struct lbpf_mapdef *maps, size_t n, int *code)
{
	struct kept kept = { .n = 0 };
	int byte = btf__add_int(btf, "char", 1, 0);
	const char *cause = byte < 0 ? "no types can be added to .BTF" : retire_all(b, btf, &kept, code);
	const void *raw;
	int err;

	if (!cause) {
		err = add_maps(b, btf, maps, n, byte, &kept);
		raw = err ? NULL : btf__raw_data(btf, &b->made_size);
		b->made = raw ? malloc(b->made_size) : NULL;
		if (b->made) {
			memcpy(b->made, raw, b->made_size);
		} else {
			*code = err ? -err : ENOMEM;
			cause = "its types can't be added to .BTF";
		}
	}
	free(kept.vars);
	return cause;
}

const char *lbpf_legacybtf_make(struct lbpf_legacybtf *b, struct lbpf_mapdef *maps, size_t n, int *code)
{
	const char *cause;
	struct btf *btf;

	*code = EINVAL;
	if (b->old_size && (b->old_size > UINT32_MAX || !header_ok(b->old, b->old_size)))
		return ".BTF is damaged";
	btf = b->old_size ? btf__new(b->old, (uint32_t)b->old_size) : btf__new_empty();
	if (!btf)
		return ".BTF is damaged";
	cause = make(b, btf, maps, n, code);
	btf__free(btf);
	return cause;
}
