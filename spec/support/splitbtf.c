/* SPDX-License-Identifier: MIT */
/* Usage: splitbtf <file>
 * Writes BTF such as a kernel module has, on top of the running kernel's: struct splitted with a struct list_head, a
 * function that takes it. */
#include <stdio.h>

#include <bpf/btf.h>

int main(int argc, char **argv)
{
	struct btf *kernel = btf__load_vmlinux_btf(), *btf = kernel ? btf__new_empty_split(kernel) : NULL;
	FILE *out = argc == 2 ? fopen(argv[1], "w") : NULL;
	const void *bytes;
	__u32 size;
	int id, list, proto;

	if (!btf || !out)
		return 1;
	list = btf__find_by_name_kind(btf, "list_head", BTF_KIND_STRUCT);
	id = btf__add_struct(btf, "splitted", 24);
	btf__add_field(btf, "list", list, 0, 0);
	btf__add_field(btf, "n", btf__find_by_name_kind(btf, "long unsigned int", BTF_KIND_INT), 128, 0);
	id = btf__add_ptr(btf, id);
	proto = btf__add_func_proto(btf, 0);
	btf__add_func_param(btf, "it", id);
	btf__add_func(btf, "splitted_use", BTF_FUNC_STATIC, proto);
	bytes = btf__raw_data(btf, &size);
	if (!bytes || fwrite(bytes, size, 1, out) != 1 || fclose(out))
		return 1;
	btf__free(btf);
	btf__free(kernel);
	return 0;
}
