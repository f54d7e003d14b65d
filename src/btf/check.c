/* SPDX-License-Identifier: MIT */
/* Checks BTF that may be damaged, because libbpf trusts it. Every type's record must be inside the data, every id and
 * name must exist, sections must hold variables, and functions must have prototypes. No type may contain itself,
 * because libbpf would follow it without end. */
#include "btf/check.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/btf.h>
#include <linux/btf.h>

enum { DEPTH_MAX = 64 }; /* how deeply types may contain each other; the kernel allows 32 */

struct check {
	const unsigned char *types, *strings;
	uint32_t types_size, strings_size;
	const struct btf *base; /* checked already; or NULL */
	uint32_t base_strings;	/* size of the base's strings; those of this BTF follow them */
	uint32_t last;		/* the last id of base, or 0; the first type of this BTF has the next id */
	uint32_t n;		/* number of types in this BTF */
	uint32_t *at;		/* the offsets of their records, the first at index 1 */
	unsigned char *done;	/* by type: known not to contain itself */
};

/* A type of this BTF, by its number from 1 on. */
static const struct btf_type *type_at(const struct check *c, uint32_t i)
{
	return (const void *)(c->types + c->at[i]);
}

/* The type with an id, which must exist. */
static const struct btf_type *type_of(const struct check *c, uint32_t id)
{
	return id > c->last ? type_at(c, id - c->last) : btf__type_by_id(c->base, id);
}

/* The length of a type's record after struct btf_type; returns false for an unknown kind. */
static bool tail_size(const struct btf_type *t, uint32_t *size)
{
	static const struct {
		uint8_t known, fixed, each;
	} kinds[] = {
		[BTF_KIND_INT] = { 1, 4, 0 },
		[BTF_KIND_PTR] = { 1, 0, 0 },
		[BTF_KIND_ARRAY] = { 1, sizeof(struct btf_array), 0 },
		[BTF_KIND_STRUCT] = { 1, 0, sizeof(struct btf_member) },
		[BTF_KIND_UNION] = { 1, 0, sizeof(struct btf_member) },
		[BTF_KIND_ENUM] = { 1, 0, sizeof(struct btf_enum) },
		[BTF_KIND_FWD] = { 1, 0, 0 },
		[BTF_KIND_TYPEDEF] = { 1, 0, 0 },
		[BTF_KIND_VOLATILE] = { 1, 0, 0 },
		[BTF_KIND_CONST] = { 1, 0, 0 },
		[BTF_KIND_RESTRICT] = { 1, 0, 0 },
		[BTF_KIND_FUNC] = { 1, 0, 0 },
		[BTF_KIND_FUNC_PROTO] = { 1, 0, sizeof(struct btf_param) },
		[BTF_KIND_VAR] = { 1, sizeof(struct btf_var), 0 },
		[BTF_KIND_DATASEC] = { 1, 0, sizeof(struct btf_var_secinfo) },
		[BTF_KIND_FLOAT] = { 1, 0, 0 },
		[BTF_KIND_DECL_TAG] = { 1, sizeof(struct btf_decl_tag), 0 },
		[BTF_KIND_TYPE_TAG] = { 1, 0, 0 },
		[BTF_KIND_ENUM64] = { 1, 0, 12 },
	};
	uint32_t kind = btf_kind(t);

	if (kind >= sizeof(kinds) / sizeof(*kinds) || !kinds[kind].known)
		return false;
	*size = kinds[kind].fixed + btf_vlen(t) * (uint32_t)kinds[kind].each;
	return true;
}

/* Finds the records of the types. Returns 1; 0 for an unknown kind; -1 if a record isn't inside the data. */
static int find_types(struct check *c)
{
	uint32_t at = 0, tail;

	while (at < c->types_size) {
		const struct btf_type *t = (const void *)(c->types + at);

		if (c->types_size - at < sizeof(*t))
			return -1;
		if (!tail_size(t, &tail))
			return 0;
		if (c->types_size - at - sizeof(*t) < tail)
			return -1;
		c->at[++c->n] = at;
		at += (uint32_t)sizeof(*t) + tail;
	}
	return 1;
}

/* ---- one type ---- */

static bool name_ok(const struct check *c, uint32_t name)
{
	return name < c->base_strings || name - c->base_strings < c->strings_size;
}

static bool id_ok(const struct check *c, uint32_t id)
{
	return id <= c->last || id - c->last <= c->n;
}

/* Whether the type with this id is of this kind. */
static bool is_kind(const struct check *c, uint32_t id, uint32_t kind)
{
	return id && id_ok(c, id) && btf_kind(type_of(c, id)) == kind;
}

/* Whether everything that a type lists refers to existing types and names: members, parameters, enumerators or
 * variables. */
static bool list_ok(const struct check *c, const struct btf_type *t)
{
	const uint32_t *words = (const void *)(t + 1); /* records of two or three words each */
	uint32_t n = btf_vlen(t);

	for (uint32_t i = 0; i < n; i++)
		switch (btf_kind(t)) {
		case BTF_KIND_STRUCT:
		case BTF_KIND_UNION:
			if (!name_ok(c, words[3 * i]) || !id_ok(c, words[3 * i + 1]))
				return false;
			break;
		case BTF_KIND_FUNC_PROTO:
			if (!name_ok(c, words[2 * i]) || !id_ok(c, words[2 * i + 1]))
				return false;
			break;
		case BTF_KIND_ENUM:
			if (!name_ok(c, words[2 * i]))
				return false;
			break;
		case BTF_KIND_ENUM64:
			if (!name_ok(c, words[3 * i]))
				return false;
			break;
		case BTF_KIND_DATASEC:
			if (!is_kind(c, words[3 * i], BTF_KIND_VAR) &&
			    !is_kind(c, words[3 * i], BTF_KIND_FUNC)) /* .ksyms */
				return false;
			break;
		default:
			return true;
		}
	return true;
}

/* Whether the type that a type refers to exists. */
static bool type_ok(const struct check *c, const struct btf_type *t)
{
	if (!name_ok(c, t->name_off) || !list_ok(c, t))
		return false;
	switch (btf_kind(t)) {
	case BTF_KIND_PTR:
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_VAR:
	case BTF_KIND_TYPE_TAG:
	case BTF_KIND_DECL_TAG:
	case BTF_KIND_FUNC_PROTO:
		return id_ok(c, t->type);
	case BTF_KIND_FUNC:
		return is_kind(c, t->type, BTF_KIND_FUNC_PROTO);
	case BTF_KIND_ARRAY:
		return id_ok(c, btf_array(t)->type) && id_ok(c, btf_array(t)->index_type);
	default:
		return true;
	}
}

/* ---- types inside types ---- */

static bool contains_ok(struct check *c, uint32_t id, int depth)
{
	const struct btf_type *t;

	if (id <= c->last || c->done[id - c->last])
		return true; /* types of base can't contain types of this BTF */
	if (depth == DEPTH_MAX)
		return false;
	t = type_of(c, id);
	switch (btf_kind(t)) {
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_TYPE_TAG:
	case BTF_KIND_VAR:
		if (!contains_ok(c, t->type, depth + 1))
			return false;
		break;
	case BTF_KIND_ARRAY:
		if (!contains_ok(c, btf_array(t)->type, depth + 1))
			return false;
		break;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		for (uint32_t i = 0; i < btf_vlen(t); i++)
			if (!contains_ok(c, btf_members(t)[i].type, depth + 1))
				return false;
		break;
	case BTF_KIND_DATASEC:
		for (uint32_t i = 0; i < btf_vlen(t); i++)
			if (!contains_ok(c, btf_var_secinfos(t)[i].type, depth + 1))
				return false;
		break;
	default:
		break;
	}
	c->done[id - c->last] = 1;
	return true;
}

/* ---- all of it ---- */

static const char *check_types(struct check *c)
{
	int found = find_types(c);

	if (found < 0)
		return ".BTF is damaged: its types";
	for (uint32_t i = 1; i <= c->n && found; i++)
		if (!type_ok(c, type_at(c, i)))
			return ".BTF is damaged: a type refers to what isn't there";
	for (uint32_t i = 1; i <= c->n && found; i++)
		if (!contains_ok(c, c->last + i, 0))
			return ".BTF is damaged: a type contains itself";
	return NULL;
}

/* Strings end with a NUL. The first one is empty, unless the strings follow those of base. */
static bool strings_ok(const struct check *c)
{
	if (!c->strings_size)
		return c->base;
	return (c->base || !c->strings[0]) && !c->strings[c->strings_size - 1];
}

/* Stores the sizes of base. Returns false if there is no memory. */
static bool set_base(struct check *c, const struct btf *base)
{
	uint32_t size;
	const struct btf_header *h = base ? btf__raw_data(base, &size) : NULL;

	c->base = base;
	c->base_strings = h ? h->str_len : 0;
	c->last = base ? btf__type_cnt(base) - 1 : 0;
	return !base || h;
}

const char *lbpf_btfcheck(const void *bytes, size_t size, const struct btf *base)
{
	const struct btf_header *h = bytes;
	struct check c = { .n = 0 };
	const char *cause = "";

	if (!set_base(&c, base))
		return "";

	if (size < LBPF_BTF_HEADER || h->magic != BTF_MAGIC || h->hdr_len < LBPF_BTF_HEADER || h->hdr_len % 4 ||
	    h->hdr_len > size || h->type_off % 4 || (uint64_t)h->type_off + h->type_len > size - h->hdr_len ||
	    (uint64_t)h->str_off + h->str_len > size - h->hdr_len)
		return ".BTF is damaged: its header";
	c.types = (const unsigned char *)bytes + h->hdr_len + h->type_off;
	c.types_size = h->type_len;
	c.strings = (const unsigned char *)bytes + h->hdr_len + h->str_off;
	c.strings_size = h->str_len;
	if (!strings_ok(&c))
		return ".BTF is damaged: its strings";
	c.at = calloc((size_t)c.types_size / sizeof(struct btf_type) + 2, sizeof(*c.at));
	c.done = calloc((size_t)c.types_size / sizeof(struct btf_type) + 2, 1);
	if (c.at && c.done)
		cause = check_types(&c);
	free(c.at);
	free(c.done);
	return cause;
}
