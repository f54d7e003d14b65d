/* SPDX-License-Identifier: MIT */
/* Mapping a map's memory into this process: that of arrays with the flag "mmapable", and of arenas. */
#define _GNU_SOURCE
#include "map/memory.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "base/process.h"
#include "map/kinds.h"

/* Whether the memory was mapped by a process that this one was forked from, which did not pass the mapping on. */
static inline bool is_elsewhere(const struct lbpf_mapmem *mem)
{
	return mem->process && mem->process != lbpf_process_number();
}

/* Since 1.4, libbpf maps an object's arena itself, at the address where programs expect it. If the arena existed before
 * the object, libbpf doesn't map it: bpf_map__initial_value then returns the initial values of its variables, in memory
 * from malloc. */
static uint8_t *mapped_by_libbpf(struct bpf_map *of)
{
	size_t size;
	uintptr_t base = (uintptr_t)bpf_map__initial_value(of, &size);

	return base % (size_t)sysconf(_SC_PAGESIZE) ? NULL : (uint8_t *)base;
}

/* The address of an arena is set by its creator, or otherwise by the first process that maps it. */
static void *map_as(const struct lbpf_mapping *mapping, int prot)
{
	void *at = mapping->arena ? (void *)(uintptr_t)mapping->at : NULL;
	void *base = mmap(at, mapping->size, prot, MAP_SHARED | (at ? MAP_FIXED_NOREPLACE : 0), mapping->fd, 0);

	return base == MAP_FAILED ? NULL : base;
}

/* Some kernels pass an arena on to a child and others don't. So no child gets it, unless a host decides otherwise. */
static void keep_here(void *base, size_t size)
{
	madvise(base, size, MADV_DONTFORK);
}

bool lbpf_mapmem_map(struct lbpf_mapmem *mem, const struct lbpf_mapping *mapping)
{
	if (mem->base) {
		mem->err = is_elsewhere(mem) ? EFAULT : 0;
		return !mem->err;
	}
	mem->size = mapping->size;
	mem->writable = true;
	mem->base = mem->libbpfs == lbpf_process_number() ? mapped_by_libbpf(mapping->of) : NULL;
	mem->borrowed = mem->base != NULL;
	if (!mem->base)
		mem->base = map_as(mapping, PROT_READ | PROT_WRITE);
	if (!mem->base && (errno == EPERM || errno == EACCES)) {
		mem->writable = false;
		mem->base = map_as(mapping, PROT_READ);
	}
	if (mem->base && mapping->arena) {
		mem->process = lbpf_process_number();
		if (!mem->borrowed)
			keep_here(mem->base, mem->size);
	}
	mem->err = mem->base ? 0 : errno;
	mem->refused = !mem->base;
	return mem->base;
}

void lbpf_mapmem_unmap(struct lbpf_mapmem *mem)
{
	if (mem->base && !mem->borrowed && !is_elsewhere(mem))
		munmap(mem->base, mem->size);
	mem->base = NULL;
}

void lbpf_mapmem_forget(struct lbpf_mapmem *mem)
{
	if (is_elsewhere(mem))
		mem->base = NULL;
}

void *lbpf_mapmem_loaded(struct lbpf_mapmem *mem, const struct lbpf_mapping *mapping, bool owned)
{
	uint8_t *base = mapping->arena ? mapped_by_libbpf(mapping->of) : NULL;

	if (!base)
		return NULL;
	if (owned)
		keep_here(base, mapping->size);
	mem->libbpfs = lbpf_process_number();
	return base;
}

/* Maps memory at the address where libbpf mapped the arena in another process, so that libbpf has something to unmap.
 * Returns false if something else is at that address. */
static bool hold(struct bpf_map *arena)
{
	size_t size = bpf_map__max_entries(arena) * (size_t)sysconf(_SC_PAGESIZE);
	void *at = mapped_by_libbpf(arena), *held;

	if (!at)
		return true;
	held = mmap(at, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	if (held != at && held != MAP_FAILED)
		munmap(held, size);
	return held == at;
}

/* libbpf unmaps an arena at the address that it had in the process that loaded the object. In a child, something else
 * or nothing may be there. The handles of the maps may already be freed. */
bool lbpf_mapmem_leave(const struct bpf_object *obj, uint32_t process)
{
	struct bpf_map *map;

	if (!process || process == lbpf_process_number())
		return true;
	bpf_object__for_each_map(map, obj)
	{
		if (lbpf_mapkind_is_arena(lbpf_mapkind_of(bpf_map__type(map))) && !hold(map))
			return false;
	}
	return true;
}
