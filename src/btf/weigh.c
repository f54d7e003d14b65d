/* SPDX-License-Identifier: MIT */
/* libbpf follows pointers, parameters and members without a limit, and divides by alignments. So before it prints a
 * type, which may come from damaged BTF, we compute how deep and how long its text is. */
#include "btf/weigh.h"

#include <string.h>

#include <lauxlib.h>

#include <bpf/btf.h>

enum {
	DEPTH_MAX = 256, /* how deeply types may nest; the kernel's types stay below 40 */
	/* Number of members, parameters and pointers; the kernel has some millions. */
	WEIGHT_MAX = 1 << 27,
	/* Padding between the members of a struct, in words; alignments to pages take some hundreds. */
	PADDING_MAX = 1 << 16,
};

/* The weight of a type: by itself, and as the target of a pointer, where a struct with a name counts only as a name. */
struct node {
	uint32_t weight;
	uint16_t height; /* 0: not computed yet */
};

struct weigh {
	const struct btf *btf;
	struct node *node; /* two for each id */
};

static const uint16_t IN_PROGRESS = UINT16_MAX;

static bool weigh(struct weigh *w, uint32_t id, bool pointed, int depth);

/* Whether a type has an alignment that isn't 0: libbpf divides by it. */
static bool is_aligned(const struct btf *btf, uint32_t id)
{
	const struct btf_type *t = btf__type_by_id(btf, id);

	for (int i = 0; t && i < DEPTH_MAX; i++)
		switch (btf_kind(t)) {
		case BTF_KIND_TYPEDEF:
		case BTF_KIND_VOLATILE:
		case BTF_KIND_CONST:
		case BTF_KIND_RESTRICT:
		case BTF_KIND_TYPE_TAG:
			t = btf__type_by_id(btf, t->type);
			break;
		case BTF_KIND_ARRAY:
			t = btf__type_by_id(btf, btf_array(t)->type);
			break;
		case BTF_KIND_INT:
		case BTF_KIND_ENUM:
		case BTF_KIND_ENUM64:
		case BTF_KIND_FLOAT:
			return t->size != 0;
		default:
			return btf_is_ptr(t) || btf_is_composite(t);
		}
	return false;
}

/* Adds the weight of a part to the type that contains it. */
static bool weigh_part(struct weigh *w, struct node *sum, uint32_t id, bool pointed, int depth)
{
	const struct node *part = &w->node[2 * id + pointed];

	if (!weigh(w, id, pointed, depth + 1))
		return false;
	sum->weight += part->weight;
	if (part->height >= sum->height)
		sum->height = part->height + 1;
	return sum->weight <= WEIGHT_MAX && sum->height <= DEPTH_MAX;
}

/* Adds the members of a struct or union, and the lines of padding between them. */
static bool weigh_members(struct weigh *w, struct node *sum, const struct btf_type *t, int depth)
{
	uint64_t end = 0, lines = 0;

	for (uint16_t i = 0; i < btf_vlen(t); i++) {
		const struct btf_member *m = btf_members(t) + i;
		uint64_t at = btf_member_bit_offset(t, i), bits = btf_member_bitfield_size(t, i);
		int64_t size = bits ? 0 : btf__resolve_size(w->btf, m->type);

		if (!is_aligned(w->btf, m->type) || !weigh_part(w, sum, m->type, false, depth))
			return false;
		lines += at > end ? (at - end) / 64 : 0;
		end = at + (bits ? bits : size > 0 ? 8 * (uint64_t)size : 0);
	}
	lines += 8 * (uint64_t)t->size > end ? (8 * (uint64_t)t->size - end) / 64 : 0;
	sum->weight += (uint32_t)(lines < PADDING_MAX ? lines : PADDING_MAX);
	return lines <= PADDING_MAX && sum->weight <= WEIGHT_MAX;
}

/* Adds the weights of all parts of a type. */
static bool weigh_parts(struct weigh *w, struct node *sum, const struct btf_type *t, bool pointed, int depth)
{
	bool ok = true;

	switch (btf_kind(t)) {
	case BTF_KIND_PTR:
		return weigh_part(w, sum, t->type, true, depth);
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_TYPE_TAG:
	case BTF_KIND_VAR:
	case BTF_KIND_FUNC:
		return weigh_part(w, sum, t->type, pointed, depth);
	case BTF_KIND_ARRAY:
		return weigh_part(w, sum, btf_array(t)->type, pointed, depth);
	case BTF_KIND_FUNC_PROTO:
		ok = weigh_part(w, sum, t->type, pointed, depth);
		for (uint16_t i = 0; i < btf_vlen(t) && ok; i++)
			ok = weigh_part(w, sum, btf_params(t)[i].type, pointed, depth);
		return ok;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return (pointed && t->name_off) || weigh_members(w, sum, t, depth);
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		sum->weight += btf_vlen(t);
		return true;
	default:
		return true;
	}
}

static bool weigh(struct weigh *w, uint32_t id, bool pointed, int depth)
{
	struct node *node = &w->node[2 * id + pointed], sum = { .weight = 1, .height = 1 };
	const struct btf_type *t = btf__type_by_id(w->btf, id);

	if (node->height)
		return node->height != IN_PROGRESS;
	if (!t || depth > DEPTH_MAX)
		return false;
	node->height = IN_PROGRESS;
	if (!weigh_parts(w, &sum, t, pointed, depth))
		return false;
	*node = sum;
	return true;
}

void lbpf_btfweigh(lua_State *L, const struct btf *btf, uint32_t first, uint32_t last)
{
	size_t size = 2 * (size_t)btf__type_cnt(btf) * sizeof(struct node);
	struct weigh w = { btf, lua_newuserdatauv(L, size, 0) };
	uint64_t weight = 0;

	memset(w.node, 0, size);
	for (uint32_t id = first; id <= last; id++) {
		if (!weigh(&w, id, false, 0))
			luaL_error(L, "malformed BTF: type %I contains itself, or too much, or what has no size",
				   (LUAI_UACINT)id);
		weight += w.node[2 * id].weight;
		if (weight > WEIGHT_MAX)
			luaL_error(L, "malformed BTF: its types contain too much");
	}
	lua_pop(L, 1);
}
