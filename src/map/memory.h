/* SPDX-License-Identifier: MIT */
/* Mapping a map's memory into this process: that of arrays with the flag "mmapable", and of arenas. */
#ifndef LBPF_MAP_MEMORY_H
#define LBPF_MAP_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

struct bpf_map;
struct bpf_object;

/* What to map. */
struct lbpf_mapping {
	int fd;
	size_t size; /* bytes, whole pages */
	bool arena;
	uint64_t at;	    /* the address that an arena must have; 0: any */
	struct bpf_map *of; /* libbpf's map in the object that declares it, or NULL */
};

/* The mapping of a handle. It is made when it is first needed. */
struct lbpf_mapmem {
	uint8_t *base; /* NULL: not mapped */
	size_t size;
	int err; /* why the kernel refused to map it */
	/* The kernel can't map it, because values have a lock, or the kernel is too old */
	bool refused;
	bool writable; /* false: the map is frozen, or the handle is read-only */
	bool borrowed; /* the mapping belongs to libbpf */
	/* Numbers of processes, because the kernel passes an arena on to no child: the process that has it mapped at
	 * base, and the one in which libbpf mapped it when it loaded the object. 0: none, or not an arena. */
	uint32_t process, libbpfs;
};

/* Maps the memory, unless it is mapped already. Returns whether it is mapped now. In a child of the process that mapped
 * an arena it isn't: EFAULT. */
bool lbpf_mapmem_map(struct lbpf_mapmem *mem, const struct lbpf_mapping *mapping);

/* Forgets a mapping that this process did not inherit, so that it is mapped again when it is needed. */
void lbpf_mapmem_forget(struct lbpf_mapmem *mem);

/* Called once the object that declares the map is loaded. `owned` is whether the module owns the object, rather than a
 * host. Returns where libbpf mapped the arena, or NULL. */
void *lbpf_mapmem_loaded(struct lbpf_mapmem *mem, const struct lbpf_mapping *mapping, bool owned);

/* Called before libbpf frees an object that was loaded in the process with this number (0: in none), after the handles
 * of its maps have unmapped their memory. Returns false if libbpf must not free it, because it would unmap memory that
 * isn't its own. */
bool lbpf_mapmem_leave(const struct bpf_object *obj, uint32_t process);

/* Copies a value into shared memory. A value of 4 or 8 bytes is stored in one access, so programs never see half of
 * it. */
static inline void lbpf_copy_value(void *memory, const void *value, size_t size)
{
	if (size == sizeof(uint64_t))
		memcpy(memory, value, sizeof(uint64_t));
	else if (size == sizeof(uint32_t))
		memcpy(memory, value, sizeof(uint32_t));
	else
		memcpy(memory, value, size);
}

/* Unmaps the memory. It is mapped again when it is needed. */
void lbpf_mapmem_unmap(struct lbpf_mapmem *mem);

LBPF_HIDDEN_END

#endif
