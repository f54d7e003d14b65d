/* SPDX-License-Identifier: MIT */
/* A descriptor that becomes readable when one of several others does, and stays readable: an eventfd that the kernel's
 * asynchronous polls write to. */
#include "base/latch.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/process.h"

/* Makes the kernel write to the eventfd, once, when the descriptor is readable. Returns 0 or an errno. */
static int watch(const struct lbpf_latch *latch, int fd)
{
	struct iocb poll = {
		.aio_data = (uint32_t)fd,
		.aio_lio_opcode = IOCB_CMD_POLL,
		.aio_fildes = (uint32_t)fd,
		.aio_buf = POLLIN,
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = (uint32_t)latch->fd,
	};
	struct iocb *list = &poll;

	return syscall(SYS_io_submit, latch->aio, 1L, &list) == 1 ? 0 : errno;
}

int lbpf_latch_watch(struct lbpf_latch *latch, uint32_t count, int (*fd_of)(const void *of, uint32_t i), const void *of)
{
	struct lbpf_latch new = { .fd = latch->fd, .process = lbpf_process_number() };
	int err = 0;

	if (new.fd < 0)
		new.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (new.fd < 0)
		return errno;
	if (syscall(SYS_io_setup, count, &new.aio))
		err = errno;
	for (uint32_t i = 0; !err && i < count; i++)
		err = watch(&new, fd_of(of, i));
	if (!err) {
		if (latch->aio)
			syscall(SYS_io_destroy, latch->aio);
		*latch = new;
		return 0;
	}
	if (new.aio)
		syscall(SYS_io_destroy, new.aio);
	if (new.fd != latch->fd)
		close(new.fd);
	return err;
}

void lbpf_latch_set(const struct lbpf_latch *latch)
{
	eventfd_write(latch->fd, 1);
}

bool lbpf_latch_reset(const struct lbpf_latch *latch)
{
	struct timespec none = { 0 };
	struct io_event told[16];
	eventfd_t times;
	long n;

	if (eventfd_read(latch->fd, &times))
		return false;
	do {
		n = syscall(SYS_io_getevents, latch->aio, 0L, (long)(sizeof(told) / sizeof(*told)), told, &none);
		for (long i = 0; i < n; i++)
			if (watch(latch, (int)told[i].data))
				lbpf_latch_set(latch); /* waking up too often is better than never */
	} while (n == sizeof(told) / sizeof(*told));
	return true;
}

void lbpf_latch_close(struct lbpf_latch *latch)
{
	if (latch->aio && latch->process == lbpf_process_number())
		syscall(SYS_io_destroy, latch->aio);
	latch->aio = 0;
	if (latch->fd >= 0)
		close(latch->fd);
	latch->fd = -1;
}
