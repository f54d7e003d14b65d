/* SPDX-License-Identifier: MIT */
/* A map's own memory in this process: of arrays made "mmapable", and arenas. */
#define _GNU_SOURCE
#include "mapmem.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/bpf.h>

#include "map.h"

static size_t memory_size(const struct lbpf_map *map)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (map->kind->can & LBPF_VALUELESS)
		return map->max_entries * page;
	return (map->max_entries * (((size_t)map->value_size + 7) / 8 * 8) + page - 1) / page * page;
}

/* Libbpf from 1.4 on maps an object's arena itself, at the address where programs expect it. An arena that was there
 * before the object it leaves alone, and gives the start-up values of its variables, from malloc, instead. */
static uint8_t *mapped_by_libbpf(const struct lbpf_map *map)
{
	uintptr_t base = 0;
	size_t size;

	if (map->of && map->kind->can & LBPF_VALUELESS)
		base = (uintptr_t)bpf_map__initial_value(map->of, &size);
	return base % (size_t)sysconf(_SC_PAGESIZE) ? NULL : (uint8_t *)base;
}

/* An arena has its address from the one who made it, or else from the first who maps it. */
static void *map_as(const struct lbpf_map *map, size_t size, int prot)
{
	void *at = (void *)(uintptr_t)map->extra;
	int fixed = at && map->kind->can & LBPF_VALUELESS ? MAP_FIXED_NOREPLACE : 0;
	void *base = mmap(fixed ? at : NULL, size, prot, MAP_SHARED | fixed, map->fd, 0);

	return base == MAP_FAILED ? NULL : base;
}

bool lbpf_mapmem_map(struct lbpf_map *map)
{
	struct lbpf_mapmem *mem = &map->mem;

	if (mem->base)
		return true;
	if (!lbpf_map_has_memory(map) || mem->refused || map->fd < 0)
		return false;
	mem->size = memory_size(map);
	mem->writable = true;
	mem->base = mapped_by_libbpf(map);
	mem->borrowed = mem->base != NULL;
	if (!mem->base)
		mem->base = map_as(map, mem->size, PROT_READ | PROT_WRITE);
	if (!mem->base && (errno == EPERM || errno == EACCES)) {
		mem->writable = false;
		mem->base = map_as(map, mem->size, PROT_READ);
	}
	if (mem->base && map->kind->can & LBPF_VALUELESS)
		map->extra = (uintptr_t)mem->base; /* an arena stays where it was first mapped */
	mem->err = mem->base ? 0 : errno;
	mem->refused = !mem->base;
	return mem->base;
}

void lbpf_mapmem_unmap(struct lbpf_map *map)
{
	struct lbpf_mapmem *mem = &map->mem;

	if (mem->base && !mem->borrowed)
		munmap(mem->base, mem->size);
	mem->base = NULL;
}
