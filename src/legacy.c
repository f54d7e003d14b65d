/* SPDX-License-Identifier: MIT */
/* Old map definitions are structs of 32-bit numbers in section "maps", or one each in "maps/<name>". The new object is
 * the old file with a few entries changed in place, followed by what has grown: names of sections, .maps, .BTF, and
 * the section table. Sections keep their numbers and symbols theirs. Each map gets a place in .maps, as large as the
 * struct that describes it in BTF; libbpf looks at the size only, so there are zeros. */
#define _GNU_SOURCE
#include "legacy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include "btfcheck.h"
#include "elf.h"
#include "legacybtf.h"

enum {
	MAPS_MAX = 1024,
	SLOTS_MAX = 4096, /* of a map of maps, that are named in the object */
	WORDS_MIN = 4,
	WORDS_MAX = 9,
};

/* What the words of a definition after map_flags say. 0 is for what a layout doesn't have: the type is there. */
struct layout {
	uint8_t words, inner_map_idx, numa_node, id, pinning, inner_id, inner_idx;
};

/* The kernel's samples, and libbpf with four or five words; iproute2's struct bpf_elf_map; gobpf in "maps/<name>". */
static const struct layout kernel_layout = { .words = 7, .inner_map_idx = 5, .numa_node = 6 };
static const struct layout iproute_layout = { .words = 9, .id = 5, .pinning = 6, .inner_id = 7, .inner_idx = 8 };
static const struct layout gobpf_layout = { .words = 6, .pinning = 5 };

/* Where a definition was, and how it names others. */
struct old {
	const char *name;
	uint32_t symbol, section;
	uint64_t offset, size;
	uint32_t id, inner_id, inner_idx, inner_map_idx;
	bool has_inner_map_idx, has_inner_idx;
};

struct legacy {
	struct lbpf_elf elf; /* the old file; its section table becomes the new one */
	struct lbpf_legacy *result;
	int err;
	Elf64_Shdr symbols; /* the symbol table's section */
	uint64_t n_symbols;
	char *strings; /* names of the symbols, ended by a zero byte of ours */
	uint64_t strings_size;
	uint32_t *counts; /* definitions by section */
	struct old *olds;
	struct lbpf_mapdef *defs; /* one for each of olds */
	size_t n;
	size_t target;		 /* the section that becomes or is .maps */
	size_t btf;		 /* section .BTF, or 0 */
	void *btf_bytes;	 /* a copy */
	unsigned char *out;	 /* the new file */
	uint64_t size, capacity; /* of it */
};

static bool is_legacy(const char *section)
{
	return strcmp(section, "maps") == 0 || strncmp(section, "maps/", 5) == 0;
}

/* Whether section i holds old definitions. */
static bool section_is_legacy(const struct lbpf_elf *elf, size_t i)
{
	const Elf64_Shdr *s = &elf->sections[i];

	return (s->sh_type == SHT_PROGBITS || s->sh_type == SHT_NOBITS) && !(s->sh_flags & SHF_EXECINSTR) &&
		is_legacy(lbpf_elf_name(elf, i));
}

static bool has_legacy(const struct lbpf_elf *elf)
{
	for (size_t i = 1; i < elf->head.e_shnum; i++)
		if (section_is_legacy(elf, i))
			return true;
	return false;
}

__attribute__((format(printf, 2, 3))) static bool fail(struct legacy *l, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(l->result->cause, sizeof(l->result->cause), fmt, args);
	va_end(args);
	l->err = LIBBPF_ERRNO__FORMAT;
	return false;
}

/* Returns memory, or NULL and sets the error. */
static void *take(struct legacy *l, uint64_t n, uint64_t each)
{
	void *p = calloc(n ? n : 1, each);

	if (!p)
		l->err = ENOMEM;
	return p;
}

/* ---- finding the definitions ---- */

static Elf64_Sym symbol_at(const struct legacy *l, uint64_t i)
{
	Elf64_Sym sym = { 0 };

	lbpf_elf_read(&l->elf, &sym, l->symbols.sh_offset + i * sizeof(sym), sizeof(sym));
	return sym;
}

static const char *symbol_name(const struct legacy *l, const Elf64_Sym *sym)
{
	return sym->st_name < l->strings_size ? l->strings + sym->st_name : "";
}

static bool find_symbols(struct legacy *l)
{
	const Elf64_Shdr *strings;
	size_t i = 1;

	while (i < l->elf.head.e_shnum && l->elf.sections[i].sh_type != SHT_SYMTAB)
		i++;
	if (i == l->elf.head.e_shnum)
		return fail(l, "the object has no symbols, which would name its maps");
	l->symbols = l->elf.sections[i];
	if (!lbpf_elf_inside(&l->elf, &l->symbols) || l->symbols.sh_entsize != sizeof(Elf64_Sym) ||
	    l->symbols.sh_link >= l->elf.head.e_shnum)
		return fail(l, "the symbol table is damaged");
	strings = &l->elf.sections[l->symbols.sh_link];
	if (!lbpf_elf_inside(&l->elf, strings))
		return fail(l, "the symbols' names are not in the file");
	l->n_symbols = l->symbols.sh_size / sizeof(Elf64_Sym);
	l->strings_size = strings->sh_size;
	l->strings = take(l, l->strings_size + 1, 1);
	return l->strings && lbpf_elf_read(&l->elf, l->strings, strings->sh_offset, l->strings_size) == 0;
}

/* Whether a symbol is that of a definition. */
static bool is_map(const struct legacy *l, const Elf64_Sym *sym)
{
	unsigned char type = ELF64_ST_TYPE(sym->st_info);

	return sym->st_shndx && sym->st_shndx < l->elf.head.e_shnum && type != STT_SECTION && type != STT_FILE &&
		section_is_legacy(&l->elf, sym->st_shndx);
}

static bool count_maps(struct legacy *l)
{
	l->counts = take(l, l->elf.head.e_shnum, sizeof(*l->counts));
	if (!l->counts)
		return false;
	for (uint64_t i = 0; i < l->n_symbols; i++) {
		Elf64_Sym sym = symbol_at(l, i);

		if (!is_map(l, &sym))
			continue;
		if (++l->n > MAPS_MAX)
			return fail(l, "more than %d legacy maps", MAPS_MAX);
		l->counts[sym.st_shndx]++;
	}
	for (size_t i = 1; i < l->elf.head.e_shnum; i++) {
		const Elf64_Shdr *s = &l->elf.sections[i];

		if (!section_is_legacy(&l->elf, i))
			continue;
		if (!lbpf_elf_inside(&l->elf, s))
			return fail(l, "section '%.64s' has no contents in the file", lbpf_elf_name(&l->elf, i));
		if (!l->counts[i])
			return fail(l, "section '%.64s' has no symbols, which would name its maps",
				    lbpf_elf_name(&l->elf, i));
		if (s->sh_size % l->counts[i])
			return fail(l, "section '%.64s': %llu bytes are no %u definitions of one size",
				    lbpf_elf_name(&l->elf, i), (unsigned long long)s->sh_size, l->counts[i]);
	}
	return true;
}

static int old_compare(const void *a, const void *b)
{
	const struct old *x = a, *y = b;

	if (x->section != y->section)
		return x->section < y->section ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Checks that a map, whose predecessor is the one before it, has a name and a definition of its own. */
static bool check_place(struct legacy *l, const struct old *o, uint64_t symbol_size)
{
	uint64_t section_size = l->elf.sections[o->section].sh_size;

	if (!*o->name)
		return fail(l, "section '%.64s': a map has no name", lbpf_elf_name(&l->elf, o->section));
	if (symbol_size && symbol_size != o->size)
		return fail(l, "legacy map '%.64s': its symbol has %llu bytes, a definition %llu", o->name,
			    (unsigned long long)symbol_size, (unsigned long long)o->size);
	if (o->offset >= section_size || o->offset % o->size)
		return fail(l, "legacy map '%.64s': no definition begins at offset %llu of its section", o->name,
			    (unsigned long long)o->offset);
	if (o > l->olds && o[-1].section == o->section && o[-1].offset == o->offset)
		return fail(l, "legacy map '%.64s': its definition is that of '%.64s' as well", o->name, o[-1].name);
	if (o->size < WORDS_MIN * sizeof(uint32_t))
		return fail(l, "legacy map '%.64s': definition of %llu bytes is too short", o->name,
			    (unsigned long long)o->size);
	return true;
}

/* Lists the maps in the order of their definitions. */
static bool list_maps(struct legacy *l)
{
	size_t n = 0;

	l->olds = take(l, l->n, sizeof(*l->olds));
	l->defs = take(l, l->n, sizeof(*l->defs));
	if (!l->olds || !l->defs)
		return false;
	for (uint64_t i = 0; i < l->n_symbols && n < l->n; i++) {
		Elf64_Sym sym = symbol_at(l, i);

		if (!is_map(l, &sym))
			continue;
		l->olds[n++] = (struct old){
			.name = symbol_name(l, &sym),
			.symbol = (uint32_t)i,
			.section = sym.st_shndx,
			.offset = sym.st_value,
			.size = l->elf.sections[sym.st_shndx].sh_size / l->counts[sym.st_shndx],
		};
	}
	qsort(l->olds, l->n, sizeof(*l->olds), old_compare);
	for (size_t i = 0; i < l->n; i++)
		if (!check_place(l, &l->olds[i], symbol_at(l, l->olds[i].symbol).st_size))
			return false;
	return true;
}

/* ---- reading the definitions ---- */

/* Reads the object's BTF, if it has any. Its struct tells iproute2's shorter definitions from the kernel's. */
static bool read_btf(struct legacy *l, bool *iproute)
{
	static const char name[] = "\0bpf_elf_map";

	*iproute = false;
	for (size_t i = 1; i < l->elf.head.e_shnum; i++)
		if (strcmp(lbpf_elf_name(&l->elf, i), ".BTF") == 0) {
			if (l->btf || l->elf.sections[i].sh_type != SHT_PROGBITS ||
			    !lbpf_elf_inside(&l->elf, &l->elf.sections[i]) || !l->elf.sections[i].sh_size)
				return fail(l, "section .BTF is damaged");
			l->btf = i;
		}
	if (!l->btf)
		return true;
	l->btf_bytes = take(l, l->elf.sections[l->btf].sh_size, 1);
	if (!l->btf_bytes)
		return false;
	lbpf_elf_read(&l->elf, l->btf_bytes, l->elf.sections[l->btf].sh_offset, l->elf.sections[l->btf].sh_size);
	*iproute = memmem(l->btf_bytes, l->elf.sections[l->btf].sh_size, name, sizeof(name)) != NULL;
	return true;
}

static bool is_outer(const struct lbpf_mapdef *def)
{
	return def->type == BPF_MAP_TYPE_ARRAY_OF_MAPS || def->type == BPF_MAP_TYPE_HASH_OF_MAPS;
}

/* Reads the words of a definition; those it doesn't have are 0. What comes after them must be zeros. */
static bool read_words(struct legacy *l, const struct old *o, const struct layout *layout, uint32_t words[WORDS_MAX])
{
	uint64_t at = l->elf.sections[o->section].sh_offset + o->offset, known = layout->words * sizeof(uint32_t);
	unsigned char byte = 0;

	lbpf_elf_read(&l->elf, words, at, o->size < known ? o->size : known);
	for (uint64_t i = known; i < o->size && !byte; i++)
		lbpf_elf_read(&l->elf, &byte, at + i, 1);
	if (byte)
		return fail(l,
			    "legacy map '%.64s': its definition has %llu bytes, of which those from %llu on are "
			    "unknown",
			    o->name, (unsigned long long)o->size, (unsigned long long)known);
	return true;
}

static uint32_t optional(const uint32_t words[WORDS_MAX], uint8_t i)
{
	return i ? words[i] : 0;
}

static bool read_def(struct legacy *l, struct old *o, struct lbpf_mapdef *def, const struct layout *layout)
{
	uint32_t words[WORDS_MAX] = { 0 }, pinning;

	if (!read_words(l, o, layout, words))
		return false;
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
		return fail(l, "legacy map '%.64s': its type is 0", o->name);
	if (pinning > 2)
		return fail(l, "legacy map '%.64s': pinning %u is neither none, object nor global", o->name, pinning);
	/* otherwise these would be another layout's words: iproute2 of old had its id and pinning here */
	if ((o->inner_map_idx && !is_outer(def)) || (def->numa_node && !(def->flags & BPF_F_NUMA_NODE)))
		return fail(l, "legacy map '%.64s': non-zero bytes after map_flags, whose meaning is unknown", o->name);
	return true;
}

static bool read_defs(struct legacy *l)
{
	bool iproute;

	if (!read_btf(l, &iproute))
		return false;
	for (size_t i = 0; i < l->n; i++) {
		struct old *o = &l->olds[i];
		const struct layout *layout = &kernel_layout;

		if (strcmp(lbpf_elf_name(&l->elf, o->section), "maps") != 0)
			layout = &gobpf_layout;
		else if (iproute || o->size >= iproute_layout.words * sizeof(uint32_t))
			layout = &iproute_layout;
		if (!read_def(l, o, &l->defs[i], layout))
			return false;
	}
	return true;
}

/* ---- maps of maps ---- */

/* The template by its place in the section, as the kernel's samples have it. A 0 may be meant or left out. */
static bool inner_by_place(struct legacy *l, const struct old *outer, struct lbpf_mapdef *def)
{
	size_t first = (size_t)(outer - l->olds), i;

	while (first && l->olds[first - 1].section == outer->section)
		first--;
	i = first + outer->inner_map_idx;
	if (i < l->n && l->olds[i].section == outer->section && !is_outer(&l->defs[i]))
		def->inner = &l->defs[i];
	else if (outer->inner_map_idx)
		return fail(l, "legacy map '%.64s': inner_map_idx %u is no map that can be in it", outer->name,
			    outer->inner_map_idx);
	return true;
}

/* Whether the object says that map i of iproute2's is in the outer one from the start. */
static bool is_in(const struct legacy *l, size_t i, const struct old *outer)
{
	return l->olds[i].has_inner_idx && l->olds[i].id == outer->inner_id && !is_outer(&l->defs[i]);
}

/* The template by its id, and the maps with this id are in the outer one at their inner_idx, as iproute2 does it. */
static bool inner_by_id(struct legacy *l, const struct old *outer, struct lbpf_mapdef *def)
{
	for (size_t i = 0; i < l->n; i++) {
		uint32_t idx = l->olds[i].inner_idx;

		if (!def->inner && l->olds[i].id == outer->inner_id && !is_outer(&l->defs[i]))
			def->inner = &l->defs[i];
		if (!is_in(l, i, outer))
			continue;
		if (idx >= def->max_entries || idx >= SLOTS_MAX || def->key_size != sizeof(uint32_t))
			return fail(l, "legacy map '%.64s': inner_idx %u is out of range for '%.64s'", l->olds[i].name,
				    idx, outer->name);
		if (def->slots <= idx)
			def->slots = idx + 1;
	}
	if (!def->inner)
		return fail(l, "legacy map '%.64s': no map that can be in it has id %u", outer->name, outer->inner_id);
	return true;
}

static bool find_inners(struct legacy *l)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct old *o = &l->olds[i];

		if (!is_outer(&l->defs[i]))
			continue;
		if (o->inner_id ? !inner_by_id(l, o, &l->defs[i])
				: o->has_inner_map_idx && !inner_by_place(l, o, &l->defs[i]))
			return false;
	}
	return true;
}

/* ---- BTF ---- */

/* Where a map is that has the new form already. */
static bool place_of(void *ctx, const char *name, uint32_t *offset)
{
	struct legacy *l = ctx;

	if (strcmp(lbpf_elf_name(&l->elf, l->target), ".maps") != 0)
		return false;
	for (uint64_t i = 0; i < l->n_symbols; i++) {
		Elf64_Sym sym = symbol_at(l, i);

		if (sym.st_shndx == l->target && ELF64_ST_BIND(sym.st_info) != STB_LOCAL &&
		    strcmp(symbol_name(l, &sym), name) == 0) {
			*offset = (uint32_t)sym.st_value;
			return sym.st_value < l->elf.sections[l->target].sh_size;
		}
	}
	return false;
}

/* Finds the section for the maps: .maps if there is one, or the first of the old ones. Sets how much is taken. */
static bool find_target(struct legacy *l, uint32_t *taken)
{
	const Elf64_Shdr *s;

	*taken = 0;
	l->target = l->olds[0].section;
	for (size_t i = 1; i < l->elf.head.e_shnum; i++)
		if (strcmp(lbpf_elf_name(&l->elf, i), ".maps") == 0) {
			s = &l->elf.sections[i];
			if (*taken || !lbpf_elf_inside(&l->elf, s) || !s->sh_size || s->sh_size > INT32_MAX)
				return fail(l, "section .maps is damaged");
			l->target = i;
			*taken = ((uint32_t)s->sh_size + 7) & ~7U;
		}
	if (*taken && !l->btf)
		return fail(l, "section .maps has no meaning without .BTF: compile with -g");
	return true;
}

static bool make_btf(struct legacy *l, struct lbpf_legacybtf *b)
{
	const char *cause;
	int code;

	*b = (struct lbpf_legacybtf){ .place = place_of, .is_legacy = is_legacy, .ctx = l };
	if (!find_target(l, &b->taken))
		return false;
	if (l->btf) {
		b->old = l->btf_bytes;
		b->old_size = l->elf.sections[l->btf].sh_size;
	}
	cause = lbpf_legacybtf_make(b, l->defs, l->n, &code);
	if (!cause)
		return true;
	fail(l, "%s", cause);
	if (code == ENOMEM)
		l->err = ENOMEM;
	return false;
}

/* ---- writing ---- */

/* Adds n bytes, or zeros, at the end of the new file. Returns their offset; 0 if there is no memory. */
static uint64_t append(struct legacy *l, const void *bytes, uint64_t n)
{
	uint64_t at = (l->size + 7) & ~7ULL, end = at + n;

	if (end > l->capacity) {
		uint64_t capacity = end + end / 4;
		void *p = realloc(l->out, capacity);

		if (!p) {
			l->err = ENOMEM;
			return 0;
		}
		l->out = p;
		l->capacity = capacity;
	}
	memset(l->out + l->size, 0, end - l->size);
	if (bytes && n)
		memcpy(l->out + at, bytes, n);
	l->size = end;
	return at;
}

static bool write_contents(struct legacy *l, Elf64_Shdr *section, const void *bytes, uint64_t n)
{
	section->sh_offset = append(l, bytes, n);
	section->sh_size = n;
	section->sh_addralign = 8;
	return section->sh_offset != 0;
}

/* Moves a map's symbol to its place in .maps. libbpf wants it to be a global object. */
static void move_symbol(struct legacy *l, size_t i)
{
	uint64_t at = l->symbols.sh_offset + l->olds[i].symbol * sizeof(Elf64_Sym);
	Elf64_Sym sym = symbol_at(l, l->olds[i].symbol);

	sym.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT);
	sym.st_other = STV_DEFAULT;
	sym.st_shndx = (uint16_t)l->target;
	sym.st_value = l->defs[i].offset;
	sym.st_size = l->defs[i].size;
	memcpy(l->out + at, &sym, sizeof(sym));
}

/* A relocation by section and offset, which compilers make for static maps, becomes one by the map's symbol: libbpf
 * doesn't look at the offset. `at` is where the relocation is. */
static bool redirect(struct legacy *l, const Elf64_Shdr *code, uint64_t at)
{
	struct bpf_insn insn[2];
	Elf64_Rel rel;
	Elf64_Sym sym;

	lbpf_elf_read(&l->elf, &rel, at, sizeof(rel));
	if (ELF64_R_SYM(rel.r_info) >= l->n_symbols)
		return true; /* libbpf will say so */
	sym = symbol_at(l, ELF64_R_SYM(rel.r_info));
	if (ELF64_ST_TYPE(sym.st_info) != STT_SECTION || sym.st_shndx >= l->elf.head.e_shnum ||
	    !section_is_legacy(&l->elf, sym.st_shndx))
		return true;
	if (code->sh_size < sizeof(insn) || rel.r_offset > code->sh_size - sizeof(insn) ||
	    lbpf_elf_read(&l->elf, insn, code->sh_offset + rel.r_offset, sizeof(insn)) ||
	    insn[0].code != (BPF_LD | BPF_IMM | BPF_DW))
		return fail(l, "a relocation against section '%.64s' is of no instruction that loads an address",
			    lbpf_elf_name(&l->elf, sym.st_shndx));
	for (size_t i = 0; i < l->n; i++) {
		if (l->olds[i].section != sym.st_shndx || insn[0].imm < 0 || l->olds[i].offset != (uint32_t)insn[0].imm)
			continue;
		insn[0].imm = insn[1].imm = 0;
		rel.r_info = ELF64_R_INFO((uint64_t)l->olds[i].symbol, ELF64_R_TYPE(rel.r_info));
		memcpy(l->out + at, &rel, sizeof(rel));
		memcpy(l->out + code->sh_offset + rel.r_offset, insn, sizeof(insn));
		return true;
	}
	return fail(l, "a relocation is of offset %d of section '%.64s', where no map is", insn[0].imm,
		    lbpf_elf_name(&l->elf, sym.st_shndx));
}

static bool redirect_all(struct legacy *l)
{
	uint64_t room = l->elf.size; /* sections don't overlap: this bounds the time a hostile table takes */

	for (size_t i = 1; i < l->elf.head.e_shnum; i++) {
		const Elf64_Shdr *s = &l->elf.sections[i], *code;

		if (s->sh_type != SHT_REL || s->sh_info >= l->elf.head.e_shnum)
			continue;
		code = &l->elf.sections[s->sh_info];
		if (!(code->sh_flags & SHF_EXECINSTR))
			continue;
		if (!lbpf_elf_inside(&l->elf, s) || !lbpf_elf_inside(&l->elf, code) || s->sh_size > room ||
		    s->sh_entsize != sizeof(Elf64_Rel))
			return fail(l, "section '%.64s' is damaged", lbpf_elf_name(&l->elf, i));
		room -= s->sh_size;
		for (uint64_t at = 0; s->sh_size - at >= sizeof(Elf64_Rel); at += sizeof(Elf64_Rel))
			if (!redirect(l, code, s->sh_offset + at))
				return false;
	}
	return true;
}

/* New names of sections, after the old ones. */
static const char new_names[] = ".maps\0.BTF\0.rel.maps\0.old.maps";
enum { NAME_MAPS = 1, NAME_BTF = 7, NAME_REL = 12, NAME_OLD = 22 };

static void rename_section(struct legacy *l, size_t i, uint32_t name)
{
	l->elf.sections[i].sh_name = (uint32_t)l->elf.names_size + name;
}

static bool write_names(struct legacy *l)
{
	Elf64_Shdr *s = &l->elf.sections[l->elf.head.e_shstrndx];
	uint64_t n = l->elf.names_size + 1 + sizeof(new_names);
	char *names;

	if (n > UINT32_MAX)
		return fail(l, "the names of sections are too long");
	names = take(l, n, 1);
	if (!names)
		return false;
	memcpy(names, l->elf.names, l->elf.names_size);
	memcpy(names + l->elf.names_size + 1, new_names, sizeof(new_names));
	write_contents(l, s, names, n);
	free(names);
	return !l->err;
}

/* Adds a section to the table. There is room: see LBPF_ELF_SPARE. */
static Elf64_Shdr *add_section(struct legacy *l, uint32_t name, uint32_t type)
{
	size_t i = l->elf.head.e_shnum++;

	l->elf.sections[i] = (Elf64_Shdr){ .sh_type = type };
	rename_section(l, i, name);
	return &l->elf.sections[i];
}

/* Section .maps: what was in it, and zeros. */
static bool write_maps(struct legacy *l, const struct lbpf_legacybtf *b)
{
	Elf64_Shdr *s = &l->elf.sections[l->target];
	Elf64_Shdr was = *s;

	rename_section(l, l->target, NAME_MAPS);
	s->sh_type = SHT_PROGBITS;
	if (!write_contents(l, s, NULL, b->maps_size))
		return false;
	return !b->taken || lbpf_elf_read(&l->elf, l->out + s->sh_offset, was.sh_offset, was.sh_size) == 0;
}

/* Section .BTF. Where there was none, a .BTF.ext would refer to types that aren't there. */
static bool write_btf(struct legacy *l, const struct lbpf_legacybtf *b)
{
	if (l->btf)
		return write_contents(l, &l->elf.sections[l->btf], b->made, b->made_size);
	for (size_t i = 1; i < l->elf.head.e_shnum; i++)
		if (strcmp(lbpf_elf_name(&l->elf, i), ".BTF.ext") == 0)
			rename_section(l, i, NAME_OLD);
	return write_contents(l, add_section(l, NAME_BTF, SHT_PROGBITS), b->made, b->made_size);
}

/* Section .rel.maps: which maps are in the maps of maps from the start. */
static bool write_slots(struct legacy *l, size_t symbols)
{
	Elf64_Shdr *s = NULL;
	uint64_t at;

	for (size_t outer = 0; outer < l->n; outer++)
		for (size_t i = 0; i < l->n && l->defs[outer].slots; i++) {
			Elf64_Rel rel = {
				.r_offset = l->defs[outer].offset + l->defs[outer].values + l->olds[i].inner_idx * 8ULL,
				.r_info = ELF64_R_INFO((uint64_t)l->olds[i].symbol, 1), /* R_BPF_64_64 */
			};

			if (!is_in(l, i, &l->olds[outer]))
				continue;
			at = append(l, &rel, sizeof(rel));
			if (!at)
				return false;
			if (!s) {
				s = add_section(l, NAME_REL, SHT_REL);
				s->sh_offset = at;
				s->sh_entsize = sizeof(rel);
				s->sh_link = (uint32_t)symbols;
				s->sh_info = (uint32_t)l->target;
				s->sh_addralign = 8;
			}
			s->sh_size += sizeof(rel);
		}
	return true;
}

static bool write_all(struct legacy *l, const struct lbpf_legacybtf *b)
{
	size_t symbols = 1;

	l->out = take(l, l->elf.size, 1);
	if (!l->out || lbpf_elf_read(&l->elf, l->out, 0, l->elf.size))
		return false;
	l->size = l->capacity = l->elf.size;
	while (l->elf.sections[symbols].sh_type != SHT_SYMTAB)
		symbols++;
	if (l->elf.head.e_shnum >= SHN_LORESERVE - LBPF_ELF_SPARE)
		return fail(l, "too many sections");
	if (!redirect_all(l))
		return false;
	for (size_t i = 0; i < l->n; i++)
		move_symbol(l, i);
	for (size_t i = 1; i < l->elf.head.e_shnum; i++)
		if (i != l->target && l->counts[i])
			rename_section(l, i, NAME_OLD);
	if (!write_maps(l, b) || !write_btf(l, b) || !write_slots(l, symbols) || !write_names(l))
		return false;
	l->elf.head.e_shoff = append(l, l->elf.sections, l->elf.head.e_shnum * sizeof(Elf64_Shdr));
	memcpy(l->out, &l->elf.head, sizeof(l->elf.head));
	return l->elf.head.e_shoff != 0;
}

static void rewrite(struct legacy *l)
{
	struct lbpf_legacybtf b = { 0 };

	if (find_symbols(l) && count_maps(l) && list_maps(l) && read_defs(l) && find_inners(l) && make_btf(l, &b) &&
	    write_all(l, &b)) {
		l->result->bytes = l->out;
		l->result->size = l->size;
		l->out = NULL;
	} else if (!l->err) {
		l->err = LIBBPF_ERRNO__FORMAT;
	}
	free(b.made);
	free(l->out);
	free(l->btf_bytes);
	free(l->strings);
	free(l->counts);
	free(l->olds);
	free(l->defs);
}

/* Looks at the BTF of an object. Returns 0, or an error after setting the cause. */
static int check_btf(const struct lbpf_elf *elf, struct lbpf_legacy *result)
{
	const char *cause = NULL;

	for (size_t i = 1; i < elf->head.e_shnum && !cause; i++) {
		const Elf64_Shdr *s = &elf->sections[i];
		void *bytes;

		if (strcmp(lbpf_elf_name(elf, i), ".BTF") != 0 || !lbpf_elf_inside(elf, s) || !s->sh_size)
			continue;
		bytes = malloc(s->sh_size);
		if (!bytes)
			return ENOMEM;
		cause = lbpf_elf_read(elf, bytes, s->sh_offset, s->sh_size) ? NULL : lbpf_btfcheck(bytes, s->sh_size);
		free(bytes);
	}
	if (!cause)
		return 0;
	snprintf(result->cause, sizeof(result->cause), "%s", cause);
	return *cause ? LIBBPF_ERRNO__FORMAT : ENOMEM;
}

int lbpf_legacy_bytes(const void *bytes, size_t size, struct lbpf_legacy *result)
{
	struct legacy l = { .result = result };
	int err;

	*result = (struct lbpf_legacy){ .bytes = NULL };
	err = lbpf_elf_open(&l.elf, -1, bytes, size);
	if (!err)
		err = check_btf(&l.elf, result);
	if (!err && has_legacy(&l.elf))
		rewrite(&l);
	lbpf_elf_close(&l.elf);
	return err == ENOEXEC ? 0 : err ? err : l.err;
}

/* Reads a file that has such maps as a whole. */
static int legacy_read(const struct lbpf_elf *elf, struct lbpf_legacy *result)
{
	void *bytes = malloc(elf->size);
	int err = bytes ? lbpf_elf_read(elf, bytes, 0, elf->size) : ENOMEM;

	if (!err)
		err = lbpf_legacy_bytes(bytes, elf->size, result);
	free(bytes);
	return err;
}

int lbpf_legacy_file(const char *path, struct lbpf_legacy *result)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;
	struct lbpf_elf elf;
	struct stat st;

	*result = (struct lbpf_legacy){ .bytes = NULL };
	if (fd < 0)
		return errno;
	if (fstat(fd, &st)) {
		err = errno;
	} else {
		err = lbpf_elf_open(&elf, fd, NULL, (uint64_t)st.st_size);
		if (!err && has_legacy(&elf))
			err = legacy_read(&elf, result);
		else if (!err)
			err = check_btf(&elf, result);
		lbpf_elf_close(&elf);
	}
	close(fd);
	return err == ENOEXEC ? 0 : err;
}
