/* SPDX-License-Identifier: MIT */
/* Old map definitions are structs of 32-bit numbers, in section "maps", or one each in "maps/<name>". Their names and
 * places are those of symbols. The meaning of the numbers depends on the tool that the object was written for. */
#define _GNU_SOURCE
#include "object/legacydef.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

enum {
	MAPS_MAX = 1024,
	SLOTS_MAX = 4096, /* slots of a map of maps that the object fills */
	WORDS_MIN = 4,
	WORDS_MAX = 9,
};

/* The meaning of the words of a definition after map_flags, as indices. 0: this layout doesn't have the field, because
 * word 0 is the type. */
struct layout {
	uint8_t words, inner_map_idx, numa_node, id, pinning, inner_id, inner_idx;
};

/* Layouts: the kernel's samples, and libbpf with four or five words; iproute2's struct bpf_elf_map; aya, which is also
 * that of older iproute2; gobpf, in "maps/<name>". */
static const struct layout kernel_layout = { .words = 7, .inner_map_idx = 5, .numa_node = 6 };
static const struct layout aya_layout = { .words = 7, .id = 5, .pinning = 6 };
static const struct layout iproute_layout = { .words = 9, .id = 5, .pinning = 6, .inner_id = 7, .inner_idx = 8 };
static const struct layout gobpf_layout = { .words = 6, .pinning = 5 };

bool lbpf_legacy_named(const char *section)
{
	size_t n = strlen(section);

	return strcmp(section, "maps") == 0 || strncmp(section, "maps/", 5) == 0 ||
		(n > 5 && strcmp(section + n - 5, "/maps") == 0);
}

bool lbpf_legacy_section(const struct lbpf_elf *elf, size_t i)
{
	const Elf64_Shdr *s = &elf->sections[i];

	return (s->sh_type == SHT_PROGBITS || s->sh_type == SHT_NOBITS) && !(s->sh_flags & SHF_EXECINSTR) &&
		lbpf_legacy_named(lbpf_elf_name(elf, i));
}

bool lbpf_legacy_fail(struct lbpf_legacy_defs *l, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(l->cause, l->cause_size, fmt, args);
	va_end(args);
	l->err = LIBBPF_ERRNO__FORMAT;
	return false;
}

void *lbpf_legacy_take(struct lbpf_legacy_defs *l, uint64_t n, uint64_t each)
{
	void *p = calloc(n ? n : 1, each);

	if (!p)
		l->err = ENOMEM;
	return p;
}

/* ---- finding the definitions ---- */

Elf64_Sym lbpf_legacy_symbol(const struct lbpf_legacy_defs *l, uint64_t i)
{
	Elf64_Sym sym = { 0 };

	lbpf_elf_read(l->elf, &sym, l->symbols.sh_offset + i * sizeof(sym), sizeof(sym));
	return sym;
}

const char *lbpf_legacy_symbol_name(const struct lbpf_legacy_defs *l, const Elf64_Sym *sym)
{
	return sym->st_name < l->strings_size ? l->strings + sym->st_name : "";
}

static bool find_symbols(struct lbpf_legacy_defs *l)
{
	const Elf64_Shdr *strings;
	size_t i = 1;

	while (i < l->elf->count && l->elf->sections[i].sh_type != SHT_SYMTAB)
		i++;
	if (i == l->elf->count)
		return lbpf_legacy_fail(l, "the object has no symbols, which would name its maps");
	l->symbols = l->elf->sections[i];
	if (!lbpf_elf_inside(l->elf, &l->symbols) || l->symbols.sh_entsize != sizeof(Elf64_Sym) ||
	    l->symbols.sh_link >= l->elf->count)
		return lbpf_legacy_fail(l, "the symbol table is damaged");
	strings = &l->elf->sections[l->symbols.sh_link];
	if (!lbpf_elf_strings(l->elf, strings))
		return lbpf_legacy_fail(l, "the symbols' names are not in the file, or compressed");
	l->n_symbols = l->symbols.sh_size / sizeof(Elf64_Sym);
	l->strings_size = strings->sh_size;
	l->strings = lbpf_legacy_take(l, l->strings_size + 1, 1);
	return l->strings && lbpf_elf_read(l->elf, l->strings, strings->sh_offset, l->strings_size) == 0;
}

/* Whether a symbol belongs to a definition. */
static bool is_map(const struct lbpf_legacy_defs *l, const Elf64_Sym *sym)
{
	unsigned char type = ELF64_ST_TYPE(sym->st_info);

	return sym->st_shndx && sym->st_shndx < SHN_LORESERVE && sym->st_shndx < l->elf->count && type != STT_SECTION &&
		type != STT_FILE && lbpf_legacy_section(l->elf, sym->st_shndx);
}

static bool count_maps(struct lbpf_legacy_defs *l)
{
	l->counts = lbpf_legacy_take(l, l->elf->count, sizeof(*l->counts));
	if (!l->counts)
		return false;
	for (uint64_t i = 0; i < l->n_symbols; i++) {
		Elf64_Sym sym = lbpf_legacy_symbol(l, i);

		if (!is_map(l, &sym))
			continue;
		if (++l->n > MAPS_MAX)
			return lbpf_legacy_fail(l, "more than %d legacy maps", MAPS_MAX);
		l->counts[sym.st_shndx]++;
	}
	for (size_t i = 1; i < l->elf->count; i++) {
		const Elf64_Shdr *s = &l->elf->sections[i];

		if (!lbpf_legacy_section(l->elf, i))
			continue;
		if (!lbpf_elf_inside(l->elf, s))
			return lbpf_legacy_fail(l, "section '%.64s' has no contents in the file",
						lbpf_elf_name(l->elf, i));
		if (!l->counts[i])
			return lbpf_legacy_fail(l, "section '%.64s' has no symbols, which would name its maps",
						lbpf_elf_name(l->elf, i));
		if (s->sh_size % l->counts[i])
			return lbpf_legacy_fail(l, "section '%.64s': %llu bytes are no %u definitions of one size",
						lbpf_elf_name(l->elf, i), (unsigned long long)s->sh_size, l->counts[i]);
	}
	return true;
}

static int old_compare(const void *a, const void *b)
{
	const struct lbpf_legacy_def *x = a, *y = b;

	if (x->section != y->section)
		return x->section < y->section ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Checks that a map has a name, and a definition that doesn't overlap that of the map before it. */
static bool check_place(struct lbpf_legacy_defs *l, const struct lbpf_legacy_def *o, uint64_t symbol_size)
{
	uint64_t section_size = l->elf->sections[o->section].sh_size;

	if (!*o->name)
		return lbpf_legacy_fail(l, "section '%.64s': a map has no name", lbpf_elf_name(l->elf, o->section));
	if (symbol_size && symbol_size != o->size)
		return lbpf_legacy_fail(l, "legacy map '%.64s': its symbol has %llu bytes, a definition %llu", o->name,
					(unsigned long long)symbol_size, (unsigned long long)o->size);
	if (o->offset >= section_size || o->offset % o->size)
		return lbpf_legacy_fail(l, "legacy map '%.64s': no definition begins at offset %llu of its section",
					o->name, (unsigned long long)o->offset);
	if (o > l->olds && o[-1].section == o->section && o[-1].offset == o->offset)
		return lbpf_legacy_fail(l, "legacy map '%.64s': its definition is that of '%.64s' as well", o->name,
					o[-1].name);
	if (o->size < WORDS_MIN * sizeof(uint32_t))
		return lbpf_legacy_fail(l, "legacy map '%.64s': definition of %llu bytes is too short", o->name,
					(unsigned long long)o->size);
	return true;
}

/* Lists the maps in the order of their definitions. */
static bool list_maps(struct lbpf_legacy_defs *l)
{
	size_t n = 0;

	l->olds = lbpf_legacy_take(l, l->n, sizeof(*l->olds));
	l->defs = lbpf_legacy_take(l, l->n, sizeof(*l->defs));
	if (!l->olds || !l->defs)
		return false;
	for (uint64_t i = 0; i < l->n_symbols && n < l->n; i++) {
		Elf64_Sym sym = lbpf_legacy_symbol(l, i);

		if (!is_map(l, &sym))
			continue;
		l->olds[n++] = (struct lbpf_legacy_def){
			.name = lbpf_legacy_symbol_name(l, &sym),
			.symbol = (uint32_t)i,
			.section = sym.st_shndx,
			.offset = sym.st_value,
			.size = l->elf->sections[sym.st_shndx].sh_size / l->counts[sym.st_shndx],
		};
	}
	qsort(l->olds, l->n, sizeof(*l->olds), old_compare);
	for (size_t i = 0; i < l->n; i++)
		if (!check_place(l, &l->olds[i], lbpf_legacy_symbol(l, l->olds[i].symbol).st_size))
			return false;
	return true;
}

/* ---- reading the definitions ---- */

/* Reads the object's BTF, if it has any. */
static bool read_btf(struct lbpf_legacy_defs *l)
{
	const char *cause = lbpf_elf_btf(l->elf, &l->btf);

	if (cause)
		return lbpf_legacy_fail(l, "%s", cause);
	if (!l->btf)
		return true;
	if (l->elf->sections[l->btf].sh_type != SHT_PROGBITS || !l->elf->sections[l->btf].sh_size)
		return lbpf_legacy_fail(l, "section .BTF is damaged");
	l->btf_bytes = lbpf_legacy_take(l, l->elf->sections[l->btf].sh_size, 1);
	if (!l->btf_bytes)
		return false;
	lbpf_elf_read(l->elf, l->btf_bytes, l->elf->sections[l->btf].sh_offset, l->elf->sections[l->btf].sh_size);
	return true;
}

static const struct btf_type *plain_type(const struct btf *btf, uint32_t id)
{
	const struct btf_type *t = btf__type_by_id(btf, id);

	while (t && (btf_is_mod(t) || btf_is_typedef(t) || btf_is_var(t)))
		t = btf__type_by_id(btf, t->type);
	return t;
}

/* The struct type of a definition, or NULL. BTF that was made from DWARF has no variables, but it has iproute2's
 * struct. */
static const struct btf_type *find_struct(const struct btf *btf, const char *section, const char *name)
{
	int id = btf__find_by_name_kind(btf, section, BTF_KIND_DATASEC);
	const struct btf_type *sec = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL, *var;

	for (uint32_t i = 0; sec && i < btf_vlen(sec); i++) {
		var = btf__type_by_id(btf, btf_var_secinfos(sec)[i].type);
		if (var && strcmp(btf__name_by_offset(btf, var->name_off), name) == 0)
			return plain_type(btf, btf_var_secinfos(sec)[i].type);
	}
	id = btf__find_by_name_kind(btf, "bpf_elf_map", BTF_KIND_STRUCT);
	return id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
}

/* Finds the layout by the names of the struct's members. Returns false if BTF doesn't tell what follows map_flags. */
static bool named_layout(const struct btf *btf, const char *section, const char *name, struct layout *layout)
{
	static const struct {
		const char *name;
		size_t at;
	} words[] = {
		{ "inner_map_idx", offsetof(struct layout, inner_map_idx) },
		{ "numa_node", offsetof(struct layout, numa_node) },
		{ "id", offsetof(struct layout, id) },
		{ "pinning", offsetof(struct layout, pinning) },
		{ "inner_id", offsetof(struct layout, inner_id) },
		{ "inner_idx", offsetof(struct layout, inner_idx) },
	};
	const struct btf_type *t = btf ? find_struct(btf, section, name) : NULL;
	bool found = false;

	*layout = (struct layout){ .words = 0 };
	for (uint8_t i = 0; t && btf_is_struct(t) && i < btf_vlen(t) && i < WORDS_MAX; i++) {
		const struct btf_member *m = btf_members(t) + i;

		if (btf_member_bit_offset(t, i) != i * 32U || btf__resolve_size(btf, m->type) != sizeof(uint32_t))
			break;
		layout->words = i + 1;
		for (size_t w = 0; i >= 5 && w < sizeof(words) / sizeof(*words); w++)
			if (strcmp(btf__name_by_offset(btf, m->name_off), words[w].name) == 0) {
				((uint8_t *)layout)[words[w].at] = i;
				found = true;
			}
	}
	return found;
}

static bool is_outer(const struct lbpf_mapdef *def)
{
	return def->type == BPF_MAP_TYPE_ARRAY_OF_MAPS || def->type == BPF_MAP_TYPE_HASH_OF_MAPS;
}

/* Reads the words of a definition; missing words are 0. All bytes after the words of the layout must be zero. */
static bool read_words(struct lbpf_legacy_defs *l, const struct lbpf_legacy_def *o, const struct layout *layout,
		       uint32_t words[WORDS_MAX])
{
	uint64_t at = l->elf->sections[o->section].sh_offset + o->offset, known = layout->words * sizeof(uint32_t);
	unsigned char byte = 0;

	lbpf_elf_read(l->elf, words, at, o->size < known ? o->size : known);
	for (uint64_t i = known; i < o->size && !byte; i++)
		lbpf_elf_read(l->elf, &byte, at + i, 1);
	if (byte)
		return lbpf_legacy_fail(l,
					"legacy map '%.64s': its definition has %llu bytes, of which those from %llu "
					"on "
					"are unknown",
					o->name, (unsigned long long)o->size, (unsigned long long)known);
	return true;
}

static uint32_t optional(const uint32_t words[WORDS_MAX], uint8_t i)
{
	return i ? words[i] : 0;
}

/* Whether a definition of seven words without names has aya's layout: a last word of 1 means pinning, because a NUMA
 * node would count only with its flag. */
static bool is_aya(const struct layout *layout, const uint32_t words[WORDS_MAX])
{
	return layout == &kernel_layout && !(words[4] & BPF_F_NUMA_NODE) && words[6] == 1;
}

/* Whether a word after map_flags is set for which the layout has no field. */
static bool has_unknown(const struct layout *layout, const uint32_t words[WORDS_MAX])
{
	for (uint8_t i = 5; i < layout->words; i++)
		if (words[i] && i != layout->inner_map_idx && i != layout->numa_node && i != layout->id &&
		    i != layout->pinning && i != layout->inner_id && i != layout->inner_idx)
			return true;
	return false;
}

static bool read_def(struct lbpf_legacy_defs *l, struct lbpf_legacy_def *o, struct lbpf_mapdef *def,
		     const struct layout *layout)
{
	uint32_t words[WORDS_MAX] = { 0 }, pinning;

	if (!read_words(l, o, layout, words))
		return false;
	if (is_aya(layout, words))
		layout = &aya_layout;
	pinning = optional(words, layout->pinning);
	*def = (struct lbpf_mapdef){
		.name = o->name,
		.type = words[0],
		.key_size = words[1],
		.value_size = words[2],
		.max_entries = words[3],
		.flags = words[4],
		.numa_node = optional(words, layout->numa_node),
		.pinned = pinning,
	};
	o->id = optional(words, layout->id);
	o->inner_id = optional(words, layout->inner_id);
	o->inner_idx = optional(words, layout->inner_idx);
	o->has_inner_idx = layout->inner_idx && o->inner_idx != UINT32_MAX;
	o->inner_map_idx = optional(words, layout->inner_map_idx);
	o->has_inner_map_idx = layout->inner_map_idx && o->size > layout->inner_map_idx * sizeof(uint32_t);
	if (!def->type)
		return lbpf_legacy_fail(l, "legacy map '%.64s': its type is 0", o->name);
	if (pinning > 2)
		return lbpf_legacy_fail(l, "legacy map '%.64s': pinning %u is neither none, object nor global", o->name,
					pinning);
	/* otherwise these words belong to another layout: older iproute2 had id and pinning here */
	if (has_unknown(layout, words) || (o->inner_map_idx && !is_outer(def)) ||
	    (def->numa_node && !(def->flags & BPF_F_NUMA_NODE)))
		return lbpf_legacy_fail(
			l, "legacy map '%.64s': non-zero bytes after map_flags, whose meaning is unknown", o->name);
	return true;
}

/* Reads the definitions; btf may be NULL. */
static bool read_all(struct lbpf_legacy_defs *l, const struct btf *btf)
{
	for (size_t i = 0; i < l->n; i++) {
		struct lbpf_legacy_def *o = &l->olds[i];
		const char *section = lbpf_elf_name(l->elf, o->section);
		const struct layout *layout = &kernel_layout;
		struct layout named;

		if (named_layout(btf, section, o->name, &named))
			layout = &named;
		else if (strncmp(section, "maps/", 5) == 0)
			layout = &gobpf_layout;
		else if (o->size >= iproute_layout.words * sizeof(uint32_t))
			layout = &iproute_layout;
		if (!read_def(l, o, &l->defs[i], layout))
			return false;
	}
	return true;
}

static bool read_defs(struct lbpf_legacy_defs *l)
{
	struct btf *btf = NULL;
	bool ok = read_btf(l);

	if (ok && l->btf) /* lbpf_legacybtf_make reports what is wrong with BTF that can't be read */
		btf = btf__new(l->btf_bytes, (uint32_t)l->elf->sections[l->btf].sh_size);
	ok = ok && read_all(l, btf);
	btf__free(btf);
	return ok;
}

/* ---- maps of maps ---- */

/* Finds the template of inner maps by its index in the section, as in the kernel's samples. A 0 may be an index, or
 * mean that there is none. */
static bool inner_by_place(struct lbpf_legacy_defs *l, const struct lbpf_legacy_def *outer, struct lbpf_mapdef *def)
{
	size_t first = (size_t)(outer - l->olds), i;

	while (first && l->olds[first - 1].section == outer->section)
		first--;
	i = first + outer->inner_map_idx;
	if (i < l->n && l->olds[i].section == outer->section && !is_outer(&l->defs[i]))
		def->inner = &l->defs[i];
	else if (outer->inner_map_idx)
		return lbpf_legacy_fail(l, "legacy map '%.64s': inner_map_idx %u is no map that can be in it",
					outer->name, outer->inner_map_idx);
	return true;
}

bool lbpf_legacy_slotted(const struct lbpf_legacy_defs *l, size_t i, const struct lbpf_legacy_def *outer)
{
	return l->olds[i].has_inner_idx && l->olds[i].id == outer->inner_id && !is_outer(&l->defs[i]);
}

/* Finds the template by its id, as iproute2 does. Maps with this id and an inner_idx are in the map of maps from the
 * start, at that index. */
static bool inner_by_id(struct lbpf_legacy_defs *l, const struct lbpf_legacy_def *outer, struct lbpf_mapdef *def)
{
	for (size_t i = 0; i < l->n; i++) {
		uint32_t idx = l->olds[i].inner_idx;

		if (!def->inner && l->olds[i].id == outer->inner_id && !is_outer(&l->defs[i]))
			def->inner = &l->defs[i];
		if (!lbpf_legacy_slotted(l, i, outer))
			continue;
		if (idx >= def->max_entries || idx >= SLOTS_MAX || def->key_size != sizeof(uint32_t))
			return lbpf_legacy_fail(l, "legacy map '%.64s': inner_idx %u is out of range for '%.64s'",
						l->olds[i].name, idx, outer->name);
		if (def->slots <= idx)
			def->slots = idx + 1;
	}
	if (!def->inner)
		return lbpf_legacy_fail(l, "legacy map '%.64s': no map that can be in it has id %u", outer->name,
					outer->inner_id);
	return true;
}

static bool find_inners(struct lbpf_legacy_defs *l)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct lbpf_legacy_def *o = &l->olds[i];

		if (!is_outer(&l->defs[i]))
			continue;
		if (o->inner_id ? !inner_by_id(l, o, &l->defs[i])
				: o->has_inner_map_idx && !inner_by_place(l, o, &l->defs[i]))
			return false;
	}
	return true;
}

bool lbpf_legacy_defs_read(struct lbpf_legacy_defs *l)
{
	bool ok = find_symbols(l) && count_maps(l) && list_maps(l) && read_defs(l) && find_inners(l);

	if (!ok && !l->err)
		l->err = LIBBPF_ERRNO__FORMAT;
	return ok;
}

void lbpf_legacy_defs_free(struct lbpf_legacy_defs *l)
{
	free(l->btf_bytes);
	free(l->strings);
	free(l->counts);
	free(l->olds);
	free(l->defs);
}
