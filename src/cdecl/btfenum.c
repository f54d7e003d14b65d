/* SPDX-License-Identifier: MIT */
#include "cdecl/btfenum.h"

bool lbpf_btfenum_is_cut(const struct btf_type *t)
{
	return btf_is_enum(t) && t->size > 4;
}

/* Whether the tool that made the BTF marks enums as signed: it does if it has marked one. */
static bool tells_signs(const struct btf *btf)
{
	for (uint32_t id = 1; id < btf__type_cnt(btf); id++) {
		const struct btf_type *t = btf__type_by_id(btf, id);

		if (btf_is_enum64(t) || (btf_is_enum(t) && btf_kflag(t)))
			return true;
	}
	return false;
}

bool lbpf_btfenum_is_signed(const struct btf *btf, const struct btf_type *t)
{
	if (btf_kflag(t) || btf_is_enum64(t) || lbpf_btfenum_is_cut(t))
		return btf_kflag(t);
	for (uint16_t i = 0; i < btf_vlen(t); i++)
		if (btf_enum(t)[i].val < 0 && btf_enum(t)[i].val > -4096)
			return !tells_signs(btf);
	return false;
}

int64_t lbpf_btfenum_value(const struct btf_type *t, uint16_t i, bool is_signed, uint32_t *name_off)
{
	if (btf_is_enum64(t)) {
		const struct btf_enum64 *e64 = btf_enum64(t) + i;

		*name_off = e64->name_off;
		return (int64_t)((uint64_t)e64->val_hi32 << 32 | e64->val_lo32);
	}
	*name_off = btf_enum(t)[i].name_off;
	if (is_signed)
		return btf_enum(t)[i].val;
	return (uint32_t)btf_enum(t)[i].val;
}
