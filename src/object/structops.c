/* SPDX-License-Identifier: MIT */
/* For every struct_ops map libbpf searches the kernel's BTF. libbpf before 1.2 reads that BTF only if a program that
 * will be loaded needs it, and crashes otherwise. Setting an attach target makes libbpf read the BTF. If that is done
 * for a program that won't be loaded, nothing else changes. */
#include "object/structops.h"

/* A function that every kernel with BPF has, so the target is found. */
#define SOME_FUNCTION "bpf_prog_put"

static bool has_maps(const struct bpf_object *obj)
{
	const struct bpf_map *map;

	bpf_object__for_each_map(map, obj)
	{
		if (bpf_map__type(map) == BPF_MAP_TYPE_STRUCT_OPS)
			return true;
	}
	return false;
}

/* A tracing program may be attached to another program's function, which needs no BTF of the kernel. */
static bool needs_btf(const struct bpf_program *prog)
{
	return bpf_program__autoload(prog) &&
		(bpf_program__type(prog) == BPF_PROG_TYPE_STRUCT_OPS || bpf_program__type(prog) == BPF_PROG_TYPE_LSM);
}

bool lbpf_structops_ready(struct bpf_object *obj)
{
	struct bpf_program *prog;

	if (libbpf_major_version() > 1 || libbpf_minor_version() >= 2 || !has_maps(obj))
		return true;
	bpf_object__for_each_program(prog, obj)
	{
		if (needs_btf(prog))
			return true;
	}
	bpf_object__for_each_program(prog, obj)
	{
		if (!bpf_program__autoload(prog) && bpf_program__set_attach_target(prog, 0, SOME_FUNCTION) == 0)
			return true;
	}
	return false;
}
