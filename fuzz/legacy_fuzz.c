/* SPDX-License-Identifier: MIT */
/* Hands damaged objects to the rewriting of old map definitions, and looks at what comes out: every section inside the
 * file, no old section left, BTF that libbpf reads, every map's symbol in .maps. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "btf/elf.h"
#include "must.h"
#include "object/legacy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* Checks .BTF: it has a DATASEC .maps with variables that don't reach out of the section. */
static void check_btf(const struct lbpf_elf *elf, const Elf64_Shdr *section, uint64_t maps_size)
{
	struct btf *btf = btf__new((const char *)elf->bytes + section->sh_offset, (uint32_t)section->sh_size);
	const struct btf_var_secinfo *info;
	const struct btf_type *t;
	int id;

	must(btf != NULL);
	id = btf__find_by_name_kind(btf, ".maps", BTF_KIND_DATASEC);
	must(id > 0);
	t = btf__type_by_id(btf, (uint32_t)id);
	must(t->size == maps_size);
	info = btf_var_secinfos(t);
	for (uint32_t i = btf_vlen(t) - 1; i < btf_vlen(t) && info[i].size; i--)
		must(btf_is_var(btf__type_by_id(btf, info[i].type)));
	btf__free(btf);
}

static void check(const struct lbpf_legacy *made)
{
	const Elf64_Shdr *maps = NULL, *btf = NULL;
	struct lbpf_legacy again;
	struct lbpf_elf elf;

	must(lbpf_elf_open(&elf, -1, made->bytes, made->size) == 0);
	for (size_t i = 1; i < elf.count; i++) {
		const char *name = lbpf_elf_name(&elf, i);

		if (strcmp(name, ".maps") == 0)
			maps = &elf.sections[i];
		if (strcmp(name, ".BTF") == 0)
			btf = &elf.sections[i];
	}
	must(maps && btf && lbpf_elf_inside(&elf, maps) && lbpf_elf_inside(&elf, btf));
	check_btf(&elf, btf, maps->sh_size);
	lbpf_elf_close(&elf);
	/* there is nothing left to do */
	must(lbpf_legacy_bytes(made->bytes, made->size, &again) == 0 && !again.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lbpf_legacy made;
	int err = lbpf_legacy_bytes(data, size, &made);

	must(!err || !made.bytes);
	must(!made.foreign || (!err && !made.bytes));
	must(strlen(made.cause) < sizeof(made.cause));
	if (made.bytes)
		check(&made);
	free(made.bytes);
	return 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	libbpf_set_print(NULL);
	return 0;
}
