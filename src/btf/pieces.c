/* SPDX-License-Identifier: MIT */
#include "btf/pieces.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/btf.h>

#include "btf/define.h"
#include "cdecl/btfenum.h"

enum { ORDERING = 1, ORDERED };

void lbpf_btfpieces_make(struct lbpf_btfpieces *p, const struct btf *btf)
{
	size_t n = (size_t)btf__type_cnt(btf) + 1; /* a piece for each type, and a declaration */

	p->text.btf = btf;
	p->id = calloc(n, sizeof(*p->id));
	p->piece = calloc(n, sizeof(*p->piece));
	p->order = calloc(n, sizeof(*p->order));
	p->ours = calloc(n, sizeof(*p->ours));
	if (!p->id || !p->piece || !p->order || !p->ours)
		p->text.err = ENOMEM;
}

void lbpf_btfpieces_free(struct lbpf_btfpieces *p)
{
	lbpf_btftext_free(&p->text);
	free(p->id);
	free(p->piece);
	free(p->order);
	free(p->ours);
	p->id = NULL;
	p->piece = NULL;
	p->order = NULL;
	p->ours = NULL;
}

void lbpf_btfpieces_begin(struct lbpf_btfpieces *p)
{
	const struct btf *btf = p->text.btf;

	if (p->text.err)
		return;
	lbpf_btftext_free(&p->text);
	lbpf_btftext_begin(&p->text, btf);
	memset(p->order, 0, btf__type_cnt(btf));
	p->count = 0;
}

void lbpf_btfpieces_name(struct lbpf_btfpieces *p, uint32_t id)
{
	const struct btf_type *t = btf__type_by_id(p->text.btf, id);
	const char *name = btf__name_by_offset(p->text.btf, t->name_off);
	char why[sizeof(p->text.why)];

	memcpy(why, p->text.why, sizeof(why));
	snprintf(p->text.why, sizeof(p->text.why), "type %u%s%s can't be written in C: %.150s", id,
		 name && *name ? ", " : "", name ? name : "", why);
}

/* Whether an enum that is defined within a type needs more than libbpf writes: its values lack their upper halves; or
 * it has one byte because of its values, for which libbpf writes a mode, which makes it signed. */
static bool has_more(const struct btf *btf, uint32_t which)
{
	const struct btf_type *t = btf__type_by_id(btf, which);
	bool more = false;

	if (!which || btf_is_any_enum(t))
		return which && (lbpf_btfenum_is_cut(t) || t->size == 1);
	for (uint16_t i = 0; i < btf_vlen(t) && !more; i++) {
		uint32_t inner = lbpf_btfdefine_which(btf, btf_members(t)[i].type);

		more = inner && !btf__type_by_id(btf, inner)->name_off && has_more(btf, inner);
	}
	return more;
}

void lbpf_btfpieces_end(struct lbpf_btfpieces *p, size_t start, uint32_t id)
{
	const struct btf *btf = p->text.btf;
	const struct btf_type *t = btf__type_by_id(btf, id);
	uint32_t which = lbpf_btfdefine_which(btf, btf_is_typedef(t) || btf_is_var(t) ? t->type : id);

	if (p->text.err)
		return;
	p->ours[id] |= has_more(btf, which);
	if (p->ours[id] && which)
		lbpf_btfdefine(&p->text, lbpf_btftext_paragraph(&p->text, start), which, 0);
	if (p->text.err == EOPNOTSUPP)
		lbpf_btfpieces_name(p, id);
	p->id[p->count] = id;
	p->piece[p->count++].end = (uint32_t)p->text.len;
}

static void add_definition(struct lbpf_btfpieces *p, uint32_t id)
{
	size_t start = p->text.len;

	lbpf_btftext_type(&p->text, id);
	if (p->text.len > start)
		lbpf_btfpieces_end(p, start, id);
	p->order[id] = ORDERED;
}

/* Adds the definitions that a struct's members, or a function's parameters and result, need. Returns whether one of
 * these is defined now. */
static bool order_parts(struct lbpf_btfpieces *p, const struct btf_type *t, bool pointed)
{
	bool defined = false;

	if (btf_is_func_proto(t))
		defined = lbpf_btfpieces_order(p, t->type, pointed);
	for (uint16_t i = 0; i < btf_vlen(t); i++)
		if (btf_is_func_proto(t))
			defined |= lbpf_btfpieces_order(p, btf_params(t)[i].type, pointed);
		else
			defined |= lbpf_btfpieces_order(p, btf_members(t)[i].type, false);
	return defined;
}

bool lbpf_btfpieces_order(struct lbpf_btfpieces *p, uint32_t id, bool pointed)
{
	const struct btf_type *t = btf__type_by_id(p->text.btf, id);
	bool defined;

	if (p->order[id])
		return p->order[id] == ORDERED;
	switch (btf_kind(t)) {
	case BTF_KIND_PTR:
		defined = lbpf_btfpieces_order(p, t->type, true);
		p->order[id] = ORDERED;
		return defined;
	case BTF_KIND_ARRAY:
		return lbpf_btfpieces_order(p, btf_array(t)->type, false);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		if (pointed && t->name_off)
			return false;
		p->order[id] = ORDERING;
		order_parts(p, t, false);
		if (t->name_off)
			add_definition(p, id);
		p->order[id] = ORDERED;
		return true;
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
	case BTF_KIND_FWD:
		add_definition(p, id);
		return true;
	case BTF_KIND_TYPEDEF:
		defined = lbpf_btfpieces_order(p, t->type, pointed);
		if (pointed && !defined)
			return false;
		add_definition(p, id);
		return true;
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_TYPE_TAG:
		return lbpf_btfpieces_order(p, t->type, pointed);
	case BTF_KIND_FUNC_PROTO:
		return order_parts(p, t, pointed);
	default:
		p->order[id] = ORDERED;
		return false;
	}
}
