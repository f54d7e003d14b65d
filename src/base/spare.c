/* SPDX-License-Identifier: MIT */
/* Makes sure that descriptors are available before an operation that opens some.
 *
 * For the collector, an unreachable handle is only a few bytes, so it is in no hurry to collect it. But the handle's
 * descriptor is often one of only about a thousand.
 *
 * Also, libbpf remembers for the whole process what the kernel supports. If it probes without descriptors, it remembers
 * that features are missing. So the descriptors are opened first and closed just before they are needed. */
#define _GNU_SOURCE
#include "base/spare.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MOST 1024

/* Opens so many descriptors. Returns how many could be opened; if that is fewer, errno says why. */
static unsigned int take(int *fds, unsigned int count)
{
	unsigned int n = 0;

	for (; n < count; n++) {
		fds[n] = n ? fcntl(fds[0], F_DUPFD_CLOEXEC, 0) : eventfd(0, EFD_CLOEXEC);
		if (fds[n] < 0)
			break;
	}
	return n;
}

void lbpf_spare_give(const int *fds, unsigned int count)
{
	while (count > 0)
		close(fds[--count]);
}

/* Checks whether so many descriptors can be opened. A process that may not open an eventfd, because of a seccomp filter
 * for example, may still have descriptors. */
static int have(unsigned int count)
{
	int fds[MOST], err;
	unsigned int n;

	if (count > MOST)
		count = MOST;
	n = take(fds, count);
	err = n < count && lbpf_spare_is_short(errno) ? errno : 0;
	lbpf_spare_give(fds, n);
	return err;
}

int lbpf_spare(lua_State *L, unsigned int count)
{
	int err = have(count);

	if ((err != EMFILE && err != ENFILE) || !lua_gc(L, LUA_GCISRUNNING))
		return err;
	lua_gc(L, LUA_GCCOLLECT);
	return have(count);
}

bool lbpf_spare_again(lua_State *L, unsigned int count)
{
	int err = errno;
	bool again = (err == EMFILE || err == ENFILE) && lbpf_spare(L, count) == 0;

	errno = err;
	return again;
}

unsigned int lbpf_spare_take_rest(int *fds, unsigned int count)
{
	unsigned int n = take(fds, count);

	if (n < count)
		return n;
	lbpf_spare_give(fds, n);
	return 0;
}

bool lbpf_spare_is_short(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOMEM;
}
