/* SPDX-License-Identifier: MIT */
/* Finds functions of an ELF file by name.
 *
 * .dynsym has the functions that other files may call. Libraries keep old versions of these: .gnu.version has a
 * version number for each symbol, and a bit for those that are not the default; .gnu.version_d has the names of the
 * numbers. .symtab has all functions, unless the file is stripped. There the version is part of the name:
 * "memcpy@@GLIBC_2.14". */
#include "btf/elfsym.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	BLOCK = 256, /* how many symbols are read at once */
	/* Bytes of names: more than any compiler writes. A sparse file may claim any number. */
	STRINGS_MAX = 1 << 30,
	VERSIONS_MAX = 1 << 16, /* a version's number has 15 bits */
	HIDDEN = 0x8000,	/* the bit of a version that is not the default */
};

/* The functions that were found under a name. */
struct match {
	uint64_t value;
	bool found, weak, chosen, several;
};

/* The wanted functions. */
struct wanted {
	const char *name, *version; /* the version; NULL: the default */
	size_t len;		    /* length of the name alone */
	uint16_t number;	    /* number of the version, or 0 */
	bool done;		    /* not in the table that is read next */
	struct match meant, old;    /* functions with this name alone, and other versions */
};

/* A table of symbols. */
struct table {
	const struct lbpf_elf *elf;
	const Elf64_Shdr *symbols, *versions; /* versions; NULL: none */
	char *strings;			      /* owned; followed by a zero byte that we add */
	uint64_t strings_size;		      /* without that byte */
	struct wanted *wanted;
	size_t count;
};

static const char *string_at(const struct table *t, uint64_t at)
{
	return at < t->strings_size ? t->strings + at : "";
}

/* Reads the names in the section that `link` refers to. */
static int read_strings(struct table *t, uint64_t link)
{
	const Elf64_Shdr *section = link < t->elf->count ? &t->elf->sections[link] : NULL;

	if (!section || !lbpf_elf_strings(t->elf, section))
		return ELIBBAD;
	if (section->sh_size > STRINGS_MAX)
		return EFBIG;
	t->strings = malloc(section->sh_size + 1);
	if (!t->strings)
		return ENOMEM;
	t->strings_size = section->sh_size;
	t->strings[section->sh_size] = '\0';
	return lbpf_elf_read(t->elf, t->strings, section->sh_offset, section->sh_size);
}

static const Elf64_Shdr *find_section(const struct lbpf_elf *elf, uint32_t type)
{
	for (size_t i = 1; i < elf->count; i++)
		if (elf->sections[i].sh_type == type)
			return &elf->sections[i];
	return NULL;
}

/* Finds the numbers of the wanted versions. Their names are in the same strings as the table's, because linkers write
 * both there. */
static int find_versions(struct table *t)
{
	const Elf64_Shdr *section = find_section(t->elf, SHT_GNU_verdef);
	uint64_t at = section ? section->sh_offset : 0;

	for (int i = 0; section && i < VERSIONS_MAX; i++) {
		Elf64_Verdef def;
		Elf64_Verdaux name;
		int err = lbpf_elf_read(t->elf, &def, at, sizeof(def));

		if (!err)
			err = lbpf_elf_read(t->elf, &name, at + def.vd_aux, sizeof(name));
		if (err)
			return err;
		for (struct wanted *w = t->wanted; w < t->wanted + t->count; w++)
			if (w->version && strcmp(string_at(t, name.vda_name), w->version) == 0)
				w->number = (uint16_t)(def.vd_ndx & ~HIDDEN);
		if (!def.vd_next)
			break;
		at += def.vd_next;
	}
	return 0;
}

/* Compares a name of .symtab with the wanted one: 1 if it is the wanted function, -1 if it is an old version, 0 if it
 * is another function. */
static int compare_name(const struct wanted *w, const char *name)
{
	const char *version;

	if (strncmp(name, w->name, w->len) != 0)
		return 0;
	version = name + w->len;
	if (*version && *version != '@')
		return 0;
	if (w->version)
		return *version && strcmp(version + strspn(version, "@"), w->version) == 0;
	return *version && version[1] != '@' ? -1 : 1;
}

/* The same for a symbol of .dynsym, by the number of its version. */
static int compare_version(const struct wanted *w, const char *name, uint16_t version)
{
	if (strncmp(name, w->name, w->len) != 0 || name[w->len])
		return 0;
	if (w->version)
		return w->number && (version & ~HIDDEN) == w->number;
	return version & HIDDEN ? -1 : 1;
}

/* Of two functions with the same name one is chosen if they are the same, or only one of them is not weak. */
static void add(struct match *m, const Elf64_Sym *symbol)
{
	bool weak = ELF64_ST_BIND(symbol->st_info) == STB_WEAK;
	bool chosen = ELF64_ST_TYPE(symbol->st_info) == STT_GNU_IFUNC;

	if (!m->found || (m->weak && !weak))
		*m = (struct match){ symbol->st_value, true, weak, chosen, false };
	else if (weak == m->weak && (symbol->st_value != m->value || chosen != m->chosen))
		m->several = true;
}

static bool is_function(const Elf64_Sym *symbol)
{
	int type = ELF64_ST_TYPE(symbol->st_info);

	return (type == STT_FUNC || type == STT_GNU_IFUNC) && symbol->st_shndx != SHN_UNDEF;
}

/* Checks whether a symbol is one of the wanted functions. */
static void look_at(const struct table *t, const Elf64_Sym *symbol, uint16_t version)
{
	const char *name = string_at(t, symbol->st_name);
	bool dynamic = t->symbols->sh_type == SHT_DYNSYM;

	if (!is_function(symbol))
		return;
	for (struct wanted *w = t->wanted; w < t->wanted + t->count; w++) {
		int same = w->done ? 0 : dynamic ? compare_version(w, name, version) : compare_name(w, name);

		if (same)
			add(same > 0 ? &w->meant : &w->old, symbol);
	}
}

static int look_through(const struct table *t)
{
	uint64_t count = t->symbols->sh_size / sizeof(Elf64_Sym);

	for (uint64_t first = 0; first < count; first += BLOCK) {
		uint64_t n = count - first < BLOCK ? count - first : BLOCK;
		Elf64_Sym symbols[BLOCK];
		uint16_t versions[BLOCK] = { 0 };
		int err = lbpf_elf_read(t->elf, symbols, t->symbols->sh_offset + first * sizeof(*symbols),
					n * sizeof(*symbols));

		if (!err && t->versions)
			err = lbpf_elf_read(t->elf, versions, t->versions->sh_offset + first * sizeof(*versions),
					    n * sizeof(*versions));
		if (err)
			return err;
		for (uint64_t i = 0; i < n; i++)
			look_at(t, &symbols[i], versions[i]);
	}
	return 0;
}

/* Reads the symbol table of this type, if there is one. */
static int look_in(const struct lbpf_elf *elf, uint32_t type, struct wanted *wanted, size_t count)
{
	struct table t = { .elf = elf, .symbols = find_section(elf, type), .wanted = wanted, .count = count };
	int err;

	if (!t.symbols)
		return 0;
	if (t.symbols->sh_entsize != sizeof(Elf64_Sym) || !lbpf_elf_inside(elf, t.symbols))
		return ELIBBAD;
	if (type == SHT_DYNSYM)
		t.versions = find_section(elf, SHT_GNU_versym);
	err = read_strings(&t, t.symbols->sh_link);
	if (!err && type == SHT_DYNSYM)
		err = find_versions(&t);
	if (!err)
		err = look_through(&t);
	free(t.strings);
	for (size_t i = 0; i < count; i++)
		wanted[i].done |= wanted[i].meant.found || wanted[i].old.found;
	return err;
}

/* ---- places in the file ---- */

/* Reads the next program header, from number *i on, that maps a part of the file. Returns false after the last one. */
static bool next_segment(const struct lbpf_elf *elf, uint32_t *i, Elf64_Phdr *segment)
{
	uint32_t count = elf->head.e_phnum;

	if (count == PN_XNUM && elf->count) /* too many for the header */
		count = elf->sections[0].sh_info;
	if (elf->head.e_phentsize != sizeof(*segment))
		return false;
	while (*i < count) {
		if (lbpf_elf_read(elf, segment, elf->head.e_phoff + (uint64_t)(*i)++ * sizeof(*segment),
				  sizeof(*segment)))
			return false;
		if (segment->p_type == PT_LOAD)
			return true;
	}
	return false;
}

/* The offset in the file of the code at an address: 0 if there is none. */
static uint64_t offset_of(const struct lbpf_elf *elf, uint64_t address)
{
	Elf64_Phdr segment;

	for (uint32_t i = 0; next_segment(elf, &i, &segment);)
		if (segment.p_flags & PF_X && address >= segment.p_vaddr &&
		    address - segment.p_vaddr < segment.p_filesz)
			return address - segment.p_vaddr + segment.p_offset;
	return 0;
}

/* Whether code is at this offset of the file. */
static bool is_code(const struct lbpf_elf *elf, uint64_t offset)
{
	Elf64_Phdr segment;

	for (uint32_t i = 0; next_segment(elf, &i, &segment);)
		if (segment.p_flags & PF_X && offset >= segment.p_offset &&
		    offset - segment.p_offset < segment.p_filesz)
			return true;
	return false;
}

/* ---- what was found ---- */

static void take_function(const struct lbpf_elf *elf, const struct wanted *w, struct lbpf_elfsym *out)
{
	const struct match *m = w->meant.found ? &w->meant : &w->old;

	out->offset = m->found ? offset_of(elf, m->value) : 0;
	if (!m->found)
		out->found = find_section(elf, SHT_SYMTAB) ? LBPF_ELFSYM_ABSENT : LBPF_ELFSYM_STRIPPED;
	else if (m->several)
		out->found = m == &w->meant ? LBPF_ELFSYM_SEVERAL : LBPF_ELFSYM_VERSIONS;
	else if (m->chosen)
		out->found = LBPF_ELFSYM_CHOSEN;
	else
		out->found = out->offset ? LBPF_ELFSYM_FOUND : LBPF_ELFSYM_NOWHERE;
}

static void take_place(const struct lbpf_elf *elf, struct lbpf_elfsym *out)
{
	out->found = is_code(elf, out->offset) ? LBPF_ELFSYM_FOUND : LBPF_ELFSYM_NOWHERE;
	out->meant = out->found == LBPF_ELFSYM_FOUND ? 0 : offset_of(elf, out->offset);
}

int lbpf_elfsym_find(const struct lbpf_elf *elf, struct lbpf_elfsym *list, size_t count)
{
	struct wanted *wanted = calloc(count, sizeof(*wanted));
	int err;

	if (!wanted)
		return ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const char *name = list[i].name ? list[i].name : "", *at = strchr(name, '@');

		wanted[i].name = name;
		wanted[i].len = at ? (size_t)(at - name) : strlen(name);
		wanted[i].version = at ? at + strspn(at, "@") : NULL;
		wanted[i].done = !wanted[i].len;
	}
	err = look_in(elf, SHT_DYNSYM, wanted, count);
	if (!err)
		err = look_in(elf, SHT_SYMTAB, wanted, count);
	for (size_t i = 0; i < count && !err; i++)
		if (list[i].name)
			take_function(elf, &wanted[i], &list[i]);
		else
			take_place(elf, &list[i]);
	free(wanted);
	return err == ENOEXEC ? ELIBBAD : err;
}
