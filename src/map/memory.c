/* SPDX-License-Identifier: MIT */
/* A map's own memory in this process: of arrays made "mmapable", and arenas. */
#define _GNU_SOURCE
#include "map/memory.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/bpf.h>

#include "map/map.h"

static size_t memory_size(const struct lbpf_map *map)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (map->kind->can & LBPF_VALUELESS)
		return map->max_entries * page;
	return (map->max_entries * (((size_t)map->value_size + 7) / 8 * 8) + page - 1) / page * page;
}

static bool is_arena(const struct lbpf_mapkind *kind)
{
	return kind->can & LBPF_VIEW && kind->can & LBPF_VALUELESS;
}

/* Whether the memory was mapped by a process that this one was forked from, and not passed on. */
static inline bool is_elsewhere(const struct lbpf_mapmem *mem)
{
	return mem->process && mem->process != lbpf_process_number();
}

/* Libbpf from 1.4 on maps an object's arena itself, at the address where programs expect it. An arena that was there
 * before the object it leaves alone, and gives the start-up values of its variables, from malloc, instead. */
static uint8_t *mapped_by_libbpf(struct bpf_map *of)
{
	size_t size;
	uintptr_t base = (uintptr_t)bpf_map__initial_value(of, &size);

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

/* Kernels differ in whether a child gets an arena; so none gets it, unless that is a host's business. */
static void keep_here(void *base, size_t size)
{
	madvise(base, size, MADV_DONTFORK);
}

bool lbpf_mapmem_map(struct lbpf_map *map)
{
	struct lbpf_mapmem *mem = &map->mem;

	if (lbpf_likely(mem->base && !mem->process))
		return true;
	if (mem->base) {
		mem->err = is_elsewhere(mem) ? EFAULT : 0;
		return !mem->err;
	}
	if (!lbpf_map_has_memory(map) || mem->refused || map->fd < 0)
		return false;
	mem->size = memory_size(map);
	mem->writable = true;
	mem->base = mem->libbpfs == lbpf_process_number() ? mapped_by_libbpf(map->of) : NULL;
	mem->borrowed = mem->base != NULL;
	if (!mem->base)
		mem->base = map_as(map, mem->size, PROT_READ | PROT_WRITE);
	if (!mem->base && (errno == EPERM || errno == EACCES)) {
		mem->writable = false;
		mem->base = map_as(map, mem->size, PROT_READ);
	}
	if (mem->base && is_arena(map->kind)) {
		map->extra = (uintptr_t)mem->base; /* an arena stays where it was first mapped */
		mem->process = lbpf_process_number();
		if (!mem->borrowed)
			keep_here(mem->base, mem->size);
	}
	mem->err = mem->base ? 0 : errno;
	mem->refused = !mem->base;
	return mem->base;
}

void lbpf_mapmem_unmap(struct lbpf_map *map)
{
	struct lbpf_mapmem *mem = &map->mem;

	if (mem->base && !mem->borrowed && !is_elsewhere(mem))
		munmap(mem->base, mem->size);
	mem->base = NULL;
}

void lbpf_mapmem_forget(struct lbpf_map *map)
{
	if (is_elsewhere(&map->mem))
		map->mem.base = NULL;
}

void lbpf_mapmem_loaded(struct lbpf_map *map, bool owned)
{
	uint8_t *base = is_arena(map->kind) ? mapped_by_libbpf(map->of) : NULL;

	if (!base)
		return;
	if (owned)
		keep_here(base, memory_size(map));
	map->mem.libbpfs = lbpf_process_number();
	map->extra = (uintptr_t)base;
}

/* Has something to unmap where libbpf mapped the arena. Returns false if there is something else. */
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

/* libbpf unmaps an arena where its process had it. In a child there may be something else by now, or nothing. The maps'
 * handles may be gone already. */
bool lbpf_mapmem_leave(const struct bpf_object *obj, uint32_t process)
{
	struct bpf_map *map;

	if (!process || process == lbpf_process_number())
		return true;
	bpf_object__for_each_map(map, obj)
	{
		if (is_arena(lbpf_mapkind_of(bpf_map__type(map))) && !hold(map))
			return false;
	}
	return true;
}
