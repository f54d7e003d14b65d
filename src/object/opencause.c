/* SPDX-License-Identifier: MIT */
/* Why libbpf did not open an object. */
#include "object/opencause.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/btf.h>

#include "base/printed.h"
#include "btf/elf.h"

/* The object's BTF; NULL if there is none, or no memory. */
static struct btf *read_btf(const struct lbpf_elf *elf)
{
	struct btf *btf = NULL;
	const Elf64_Shdr *s;
	size_t section;
	void *bytes;

	if (lbpf_elf_btf(elf, &section) || !section)
		return NULL;
	s = &elf->sections[section];
	bytes = malloc(s->sh_size);
	if (bytes && lbpf_elf_read(elf, bytes, s->sh_offset, s->sh_size) == 0)
		btf = btf__new(bytes, (uint32_t)s->sh_size);
	free(bytes);
	return btf;
}

/* If only the definition of an inner map names a type, clang writes only a declaration of the type to the BTF. */
static void explain_declared(const struct btf *btf, const char *line, char *cause, size_t room)
{
	const struct btf_type *t;
	char map[128], part[8], *suffix;
	const char *tag;
	int at = 0;

	if (sscanf(line, "map '%127[^']': can't determine %7s size for type [%n", map, part, &at) != 2 || !at)
		return;
	t = btf__type_by_id(btf, (uint32_t)strtoul(line + at, NULL, 10));
	if (!t || !btf_is_fwd(t))
		return;
	tag = BTF_INFO_KFLAG(t->info) ? "union" : "struct";
	suffix = strstr(map, ".inner");
	if (suffix)
		*suffix = '\0';
	snprintf(cause, room,
		 "map '%s': the type of its %s%ss, %s %s, is only declared in the object's BTF, without its members; "
		 "define a variable of that type in the program",
		 map, suffix ? "inner maps' " : "", part, tag, btf__name_by_offset(btf, t->name_off));
}

static bool has_section(const struct lbpf_elf *elf, const char *name)
{
	for (size_t i = 1; i < elf->count; i++)
		if (strcmp(lbpf_elf_name(elf, i), name) == 0)
			return true;
	return false;
}

/* In BTF, clang names sections of variables without the suffix that -fdata-sections adds. */
static void explain_section(const struct btf *btf, const struct lbpf_elf *elf, char *cause, size_t room)
{
	const struct btf_type *t;
	const char *name;

	for (uint32_t id = 1; id < btf__type_cnt(btf); id++) {
		t = btf__type_by_id(btf, id);
		name = btf_is_datasec(t) && !t->size ? btf__name_by_offset(btf, t->name_off) : ".ksyms";
		if (strcmp(name, ".ksyms") == 0 || strcmp(name, ".kconfig") == 0 || has_section(elf, name))
			continue;
		snprintf(cause, room,
			 "its BTF has variables in section '%s', and there is no such section; compile it "
			 "without -fdata-sections",
			 name);
		return;
	}
}

void lbpf_opencause(const void *bytes, size_t size, const char *said, char *cause, size_t room)
{
	struct lbpf_elf elf;
	struct btf *btf;
	size_t len = 0;
	const char *found = lbpf_printed_cause(said, &len);
	char line[256];

	/* Libbpf may print more messages. */
	snprintf(line, sizeof(line), "%.*s", found ? (int)len : 0, found ? found : "");
	*cause = '\0';
	btf = lbpf_elf_open(&elf, -1, bytes, size) ? NULL : read_btf(&elf);
	if (btf && *line)
		explain_declared(btf, line, cause, room);
	else if (btf)
		explain_section(btf, &elf, cause, room);
	btf__free(btf);
	lbpf_elf_close(&elf);
}
