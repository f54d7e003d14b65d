/* SPDX-License-Identifier: MIT */
/* The new object is the old file with a few entries changed in place, followed by the parts that have grown: names of
 * sections, .maps, .BTF, and the section table. Sections and symbols keep their numbers. Each map gets a place in
 * .maps, as large as the struct that describes it in BTF. libbpf reads only the size, so the place is filled with
 * zeros. */
#include "object/legacywrite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/libbpf.h>
#include <linux/bpf.h>

struct writer {
	struct lbpf_legacy_defs *from;
	struct lbpf_elf *elf;	 /* the old file, of `from`; its section table becomes the new one */
	size_t target;		 /* the section that becomes or is .maps */
	unsigned char *out;	 /* the new file */
	uint64_t size, capacity; /* of it */
};

/* ---- BTF ---- */

/* The place of a map that has a new definition already. */
static bool place_of(void *ctx, const char *name, uint32_t *offset)
{
	const struct writer *w = ctx;

	if (strcmp(lbpf_elf_name(w->elf, w->target), ".maps") != 0)
		return false;
	for (uint64_t i = 0; i < w->from->n_symbols; i++) {
		Elf64_Sym sym = lbpf_legacy_symbol(w->from, i);

		if (sym.st_shndx == w->target && ELF64_ST_BIND(sym.st_info) != STB_LOCAL &&
		    strcmp(lbpf_legacy_symbol_name(w->from, &sym), name) == 0) {
			*offset = (uint32_t)sym.st_value;
			return sym.st_value < w->elf->sections[w->target].sh_size;
		}
	}
	return false;
}

/* Finds the section for the maps: .maps if there is one, otherwise the first with old definitions. Sets how much of it
 * is used already. */
static bool find_target(struct writer *w, uint32_t *taken)
{
	const Elf64_Shdr *s;

	*taken = 0;
	w->target = w->from->olds[0].section;
	for (size_t i = 1; i < w->elf->count; i++)
		if (strcmp(lbpf_elf_name(w->elf, i), ".maps") == 0) {
			s = &w->elf->sections[i];
			if (*taken || !lbpf_elf_inside(w->elf, s) || !s->sh_size || s->sh_size > INT32_MAX)
				return lbpf_legacy_fail(w->from, "section .maps is damaged");
			w->target = i;
			*taken = ((uint32_t)s->sh_size + 7) & ~7U;
		}
	if (*taken && !w->from->btf)
		return lbpf_legacy_fail(w->from, "section .maps has no meaning without .BTF: compile with -g");
	return true;
}

static bool make_btf(struct writer *w, struct lbpf_legacybtf *b)
{
	struct lbpf_legacy_defs *l = w->from;
	const char *cause;
	int code;

	*b = (struct lbpf_legacybtf){ .place = place_of, .is_legacy = lbpf_legacy_named, .ctx = w };
	if (!find_target(w, &b->taken))
		return false;
	if (l->btf) {
		b->old = l->btf_bytes;
		b->old_size = w->elf->sections[l->btf].sh_size;
	}
	cause = lbpf_legacybtf_make(b, l->defs, l->n, &code);
	if (!cause)
		return true;
	lbpf_legacy_fail(l, "%s", cause);
	if (code == ENOMEM)
		l->err = ENOMEM;
	return false;
}

/* ---- writing ---- */

/* Adds n bytes, or zeros, at the end of the new file. Returns their offset; 0 if there is no memory. */
static uint64_t append(struct writer *w, const void *bytes, uint64_t n)
{
	uint64_t at = (w->size + 7) & ~7ULL, end = at + n;

	if (end > w->capacity) {
		uint64_t capacity = end + end / 4;
		void *p = realloc(w->out, capacity);

		if (!p) {
			w->from->err = ENOMEM;
			return 0;
		}
		w->out = p;
		w->capacity = capacity;
	}
	memset(w->out + w->size, 0, end - w->size);
	if (bytes && n)
		memcpy(w->out + at, bytes, n);
	w->size = end;
	return at;
}

static bool write_contents(struct writer *w, Elf64_Shdr *section, const void *bytes, uint64_t n)
{
	section->sh_offset = append(w, bytes, n);
	section->sh_size = n;
	section->sh_addralign = 8;
	return section->sh_offset != 0;
}

/* Moves a map's symbol to its place in .maps. libbpf requires it to be a global object. */
static void move_symbol(struct writer *w, size_t i)
{
	const struct lbpf_legacy_defs *l = w->from;
	uint64_t at = l->symbols.sh_offset + l->olds[i].symbol * sizeof(Elf64_Sym);
	Elf64_Sym sym = lbpf_legacy_symbol(l, l->olds[i].symbol);

	sym.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT);
	sym.st_other = STV_DEFAULT;
	sym.st_shndx = (uint16_t)w->target;
	sym.st_value = l->defs[i].offset;
	sym.st_size = l->defs[i].size;
	memcpy(w->out + at, &sym, sizeof(sym));
}

/* Converts a relocation by section and offset, which compilers make for static maps, to one by the map's symbol,
 * because libbpf ignores the offset. `at` is the place of the relocation. */
static bool redirect(struct writer *w, const Elf64_Shdr *code, uint64_t at)
{
	struct bpf_insn insn[2];
	Elf64_Rel rel;
	Elf64_Sym sym;

	lbpf_elf_read(w->elf, &rel, at, sizeof(rel));
	if (ELF64_R_SYM(rel.r_info) >= w->from->n_symbols)
		return true; /* libbpf will report that */
	sym = lbpf_legacy_symbol(w->from, ELF64_R_SYM(rel.r_info));
	if (ELF64_ST_TYPE(sym.st_info) != STT_SECTION || sym.st_shndx >= SHN_LORESERVE ||
	    sym.st_shndx >= w->elf->count || !lbpf_legacy_section(w->elf, sym.st_shndx))
		return true;
	if (code->sh_size < sizeof(insn) || rel.r_offset > code->sh_size - sizeof(insn) ||
	    lbpf_elf_read(w->elf, insn, code->sh_offset + rel.r_offset, sizeof(insn)) ||
	    insn[0].code != (BPF_LD | BPF_IMM | BPF_DW))
		return lbpf_legacy_fail(w->from,
					"a relocation against section '%.64s' is of no instruction that loads an "
					"address",
					lbpf_elf_name(w->elf, sym.st_shndx));
	for (size_t i = 0; i < w->from->n; i++) {
		const struct lbpf_legacy_def *o = &w->from->olds[i];

		if (o->section != sym.st_shndx || insn[0].imm < 0 || o->offset != (uint32_t)insn[0].imm)
			continue;
		insn[0].imm = insn[1].imm = 0;
		rel.r_info = ELF64_R_INFO((uint64_t)o->symbol, ELF64_R_TYPE(rel.r_info));
		memcpy(w->out + at, &rel, sizeof(rel));
		memcpy(w->out + code->sh_offset + rel.r_offset, insn, sizeof(insn));
		return true;
	}
	return lbpf_legacy_fail(w->from, "a relocation is of offset %d of section '%.64s', where no map is",
				insn[0].imm, lbpf_elf_name(w->elf, sym.st_shndx));
}

static bool redirect_all(struct writer *w)
{
	/* Sections may not overlap, which limits the time that a hostile table takes. */
	uint64_t room = w->elf->size;

	for (size_t i = 1; i < w->elf->count; i++) {
		const Elf64_Shdr *s = &w->elf->sections[i], *code;

		if (s->sh_type != SHT_REL || s->sh_info >= w->elf->count)
			continue;
		code = &w->elf->sections[s->sh_info];
		if (!(code->sh_flags & SHF_EXECINSTR))
			continue;
		if (!lbpf_elf_inside(w->elf, s) || !lbpf_elf_inside(w->elf, code) || s->sh_size > room ||
		    s->sh_entsize != sizeof(Elf64_Rel))
			return lbpf_legacy_fail(w->from, "section '%.64s' is damaged", lbpf_elf_name(w->elf, i));
		room -= s->sh_size;
		for (uint64_t at = 0; s->sh_size - at >= sizeof(Elf64_Rel); at += sizeof(Elf64_Rel))
			if (!redirect(w, code, s->sh_offset + at))
				return false;
	}
	return true;
}

/* New names of sections, after the old ones. */
static const char new_names[] = ".maps\0.BTF\0.rel.maps\0.old.maps";
enum { NAME_MAPS = 1, NAME_BTF = 7, NAME_REL = 12, NAME_OLD = 22 };

static void rename_section(struct writer *w, size_t i, uint32_t name)
{
	w->elf->sections[i].sh_name = (uint32_t)w->elf->names_size + name;
}

static bool write_names(struct writer *w)
{
	Elf64_Shdr *s = &w->elf->sections[w->elf->names_at];
	uint64_t n = w->elf->names_size + 1 + sizeof(new_names);
	char *names;

	if (n > UINT32_MAX)
		return lbpf_legacy_fail(w->from, "the names of sections are too long");
	names = lbpf_legacy_take(w->from, n, 1);
	if (!names)
		return false;
	memcpy(names, w->elf->names, w->elf->names_size);
	memcpy(names + w->elf->names_size + 1, new_names, sizeof(new_names));
	write_contents(w, s, names, n);
	free(names);
	return !w->from->err;
}

/* Adds a section to the table. There is room: see LBPF_ELF_SPARE. */
static Elf64_Shdr *add_section(struct writer *w, uint32_t name, uint32_t type)
{
	size_t i = w->elf->count++;

	w->elf->sections[i] = (Elf64_Shdr){ .sh_type = type };
	rename_section(w, i, name);
	return &w->elf->sections[i];
}

/* Section .maps: what was in it, and zeros. */
static bool write_maps(struct writer *w, const struct lbpf_legacybtf *b)
{
	Elf64_Shdr *s = &w->elf->sections[w->target];
	Elf64_Shdr was = *s;

	rename_section(w, w->target, NAME_MAPS);
	s->sh_type = SHT_PROGBITS;
	if (!write_contents(w, s, NULL, b->maps_size))
		return false;
	return !b->taken || lbpf_elf_read(w->elf, w->out + s->sh_offset, was.sh_offset, was.sh_size) == 0;
}

/* Section .BTF. If the object had none, .BTF.ext is dropped, because it would refer to types that don't exist. */
static bool write_btf(struct writer *w, const struct lbpf_legacybtf *b)
{
	if (w->from->btf)
		return write_contents(w, &w->elf->sections[w->from->btf], b->made, b->made_size);
	for (size_t i = 1; i < w->elf->count; i++)
		if (strcmp(lbpf_elf_name(w->elf, i), ".BTF.ext") == 0)
			rename_section(w, i, NAME_OLD);
	return write_contents(w, add_section(w, NAME_BTF, SHT_PROGBITS), b->made, b->made_size);
}

/* Section .rel.maps: the maps that are in maps of maps from the start. */
static bool write_slots(struct writer *w, size_t symbols)
{
	const struct lbpf_legacy_defs *l = w->from;
	Elf64_Shdr *s = NULL;
	uint64_t at;

	for (size_t outer = 0; outer < l->n; outer++)
		for (size_t i = 0; i < l->n && l->defs[outer].slots; i++) {
			Elf64_Rel rel = {
				.r_offset = l->defs[outer].offset + l->defs[outer].values + l->olds[i].inner_idx * 8ULL,
				.r_info = ELF64_R_INFO((uint64_t)l->olds[i].symbol, 1), /* R_BPF_64_64 */
			};

			if (!lbpf_legacy_slotted(l, i, &l->olds[outer]))
				continue;
			at = append(w, &rel, sizeof(rel));
			if (!at)
				return false;
			if (!s) {
				s = add_section(w, NAME_REL, SHT_REL);
				s->sh_offset = at;
				s->sh_entsize = sizeof(rel);
				s->sh_link = (uint32_t)symbols;
				s->sh_info = (uint32_t)w->target;
				s->sh_addralign = 8;
			}
			s->sh_size += sizeof(rel);
		}
	return true;
}

static bool write_all(struct writer *w, const struct lbpf_legacybtf *b)
{
	size_t symbols = 1;

	w->out = lbpf_legacy_take(w->from, w->elf->size, 1);
	if (!w->out || lbpf_elf_read(w->elf, w->out, 0, w->elf->size))
		return false;
	w->size = w->capacity = w->elf->size;
	while (w->elf->sections[symbols].sh_type != SHT_SYMTAB)
		symbols++;
	if (w->elf->count >= SHN_LORESERVE - LBPF_ELF_SPARE)
		return lbpf_legacy_fail(w->from, "too many sections");
	if (!redirect_all(w))
		return false;
	for (size_t i = 0; i < w->from->n; i++)
		move_symbol(w, i);
	for (size_t i = 1; i < w->elf->count; i++)
		if (i != w->target && w->from->counts[i])
			rename_section(w, i, NAME_OLD);
	if (!write_maps(w, b) || !write_btf(w, b) || !write_slots(w, symbols) || !write_names(w))
		return false;
	w->elf->sections[0].sh_size = w->elf->sections[0].sh_link = 0; /* the header has the numbers */
	w->elf->head.e_shoff = append(w, w->elf->sections, w->elf->count * sizeof(Elf64_Shdr));
	if (!w->elf->head.e_shoff)
		return false;
	w->elf->head.e_shnum = (uint16_t)w->elf->count;
	w->elf->head.e_shstrndx = (uint16_t)w->elf->names_at;
	memcpy(w->out, &w->elf->head, sizeof(w->elf->head));
	return true;
}

bool lbpf_legacywrite(struct lbpf_legacy_defs *l, void **bytes, size_t *size)
{
	struct writer w = { .from = l, .elf = l->elf };
	struct lbpf_legacybtf b = { 0 };
	bool ok = make_btf(&w, &b) && write_all(&w, &b);

	if (ok) {
		*bytes = w.out;
		*size = w.size;
	} else {
		free(w.out);
		if (!l->err)
			l->err = LIBBPF_ERRNO__FORMAT;
	}
	free(b.made);
	return ok;
}
