/* SPDX-License-Identifier: MIT */
/* The number is in a page that the kernel fills with zeros in a child of fork (MADV_WIPEONFORK). A handler of
 * pthread_atfork would not be called for a child made by clone(2) or _Fork, and its code could never be unloaded.
 * Threads made by clone(CLONE_VM) and a child of vfork share the page, as they share all mappings. */
#define _GNU_SOURCE
#include "base/process.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#include <lauxlib.h>

/* Used before Linux 4.14, which has no such pages: every process then believes to be the one that opened the module. */
static _Atomic uint32_t everywhere = 1;

_Atomic uint32_t *lbpf_process_place = &everywhere;

/* The last number that was given to this process or to one that it descends from. */
static _Atomic uint32_t last = 1;

/* Gives this process a number. If several threads ask at once, the first one decides. */
uint32_t lbpf_process_renew(void)
{
	uint32_t number = atomic_fetch_add(&last, 1) + 1, none = 0;

	return atomic_compare_exchange_strong(lbpf_process_place, &none, number) ? number : none;
}

static bool no_memory;

/* Creates the page; once for all Lua states of the process, before any object exists that needs the number. */
static void place_make(void)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	no_memory = page == MAP_FAILED;
	if (no_memory)
		return;
	if (madvise(page, size, MADV_WIPEONFORK)) {
		munmap(page, size);
		return;
	}
	lbpf_process_place = page;
	lbpf_process_renew();
}

void lbpf_process_open(lua_State *L)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, place_make);
	if (no_memory)
		luaL_error(L, "not enough memory to open the module");
}
