/* SPDX-License-Identifier: MIT */
/* Looks for functions in damaged programs and libraries: what is found lies inside the file. */
#include <stddef.h>
#include <stdint.h>

#include "btf/elf.h"
#include "btf/elfsym.h"
#include "must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lbpf_elfsym list[] = {
		{ .name = "twice" },  { .name = "twice@V1" },		{ .name = "twice@@V2" }, { .name = "chosen" },
		{ .name = "hidden" }, { .offset = (uint64_t)size / 2 }, { .name = "" },
	};
	const size_t count = sizeof(list) / sizeof(*list);
	struct lbpf_elf elf;

	if (lbpf_elf_open_any(&elf, -1, data, size) == 0 && lbpf_elfsym_find(&elf, list, count) == 0)
		for (size_t i = 0; i < count; i++)
			must(list[i].found != LBPF_ELFSYM_UNSEEN &&
			     (list[i].found != LBPF_ELFSYM_FOUND || list[i].offset));
	lbpf_elf_close(&elf);
	return 0;
}
