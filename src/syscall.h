/* SPDX-License-Identifier: MIT */
/* The bpf(2) calls of the hot path, as libbpf makes them but inlined: after a system call the processor predicts no
 * indirect branch, so each hop through a linkage table costs as much as the rest of our own work. */
#ifndef LBPF_SYSCALL_H
#define LBPF_SYSCALL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/bpf.h>

/* One operation on an element. Returns 0, or -1 with errno set. */
static inline long lbpf_sys_elem(enum bpf_cmd cmd, int fd, const void *key, void *value, uint64_t flags)
{
	union bpf_attr attr;

	attr.map_fd = (uint32_t)fd;
	/* the attribute has padding between the descriptor and the key, which must be zero */
	((uint32_t *)&attr)[1] = 0;
	attr.key = (uintptr_t)key;
	attr.value = (uintptr_t)value;
	attr.flags = flags;
	return syscall(__NR_bpf, cmd, &attr, offsetof(union bpf_attr, flags) + sizeof(attr.flags));
}

#endif
