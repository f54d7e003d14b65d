/* SPDX-License-Identifier: MIT */
/* A map's own memory in this process: of arrays made "mmapable", and arenas. */
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

/* What is to be mapped. */
struct lbpf_mapping {
	int fd;
	size_t size; /* bytes, whole pages */
	bool arena;
	uint64_t at;	    /* where an arena has to be; 0: anywhere */
	struct bpf_map *of; /* in the object that declares it, or NULL */
};

/* A handle maps it when it is first needed. */
struct lbpf_mapmem {
	uint8_t *base; /* NULL: not mapped */
	size_t size;
	int err;       /* why the kernel refused */
	bool refused;  /* the kernel doesn't: values with a lock, or an older kernel */
	bool writable; /* else it was frozen, or the handle may only read */
	bool borrowed; /* libbpf's mapping */
	/* Numbers of processes, for the kernel passes an arena on to no child: the one that has it at base, and the one
	 * in which libbpf mapped it when it loaded the object. 0: none, or no arena. */
	uint32_t process, libbpfs;
};

/* Whether the memory is at hand, mapped now or before. It isn't in a child of the process that mapped an arena: EFAULT.
 */
bool lbpf_mapmem_map(struct lbpf_mapmem *mem, const struct lbpf_mapping *mapping);

/* Forgets a mapping that this process did not inherit, so that the next need maps it here. */
void lbpf_mapmem_forget(struct lbpf_mapmem *mem);

/* Once the object that declares the map is loaded; whether that is a host's or owned. Returns where libbpf mapped its
 * arena, or NULL. */
void *lbpf_mapmem_loaded(struct lbpf_mapmem *mem, const struct lbpf_mapping *mapping, bool owned);

/* Before libbpf frees an object that was loaded in the process of this number (0: in none), once its maps' handles have
 * let go. Returns false if it mustn't: it would unmap what isn't its own. */
bool lbpf_mapmem_leave(const struct bpf_object *obj, uint32_t process);

/* Copies a value into shared memory. What has the size of a word is stored at once: programs never see half of it. */
static inline void lbpf_copy_value(void *memory, const void *value, size_t size)
{
	if (size == sizeof(uint64_t))
		memcpy(memory, value, sizeof(uint64_t));
	else if (size == sizeof(uint32_t))
		memcpy(memory, value, sizeof(uint32_t));
	else
		memcpy(memory, value, size);
}

/* Lets go of it; the next need maps it again. */
void lbpf_mapmem_unmap(struct lbpf_mapmem *mem);

LBPF_HIDDEN_END

#endif
