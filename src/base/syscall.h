/* SPDX-License-Identifier: MIT */
/* The bpf(2) calls of the hot path. They do the same as libbpf's, but are inlined. After a system call, the processor
 * has lost its predictions of indirect branches. A call through a linkage table then costs as much as all the rest of
 * our own work. */
#ifndef LBPF_BASE_SYSCALL_H
#define LBPF_BASE_SYSCALL_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/bpf.h>

/* bpf(2). Returns the kernel's result; an errno is a negative number. On architectures that we know, the instruction is
 * part of our code: libc's wrapper would be one more call, and one more return that the processor mispredicts. */
static inline long lbpf_sys_bpf(enum bpf_cmd cmd, union bpf_attr *attr, size_t size)
{
#if defined(__x86_64__) && !defined(__ILP32__)
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"((long)__NR_bpf), "D"((long)cmd), "S"(attr), "d"(size)
			 : "rcx", "r11", "memory");
	return result;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = __NR_bpf;
	register long x0 __asm__("x0") = (long)cmd;
	register long x1 __asm__("x1") = (long)attr;
	register long x2 __asm__("x2") = (long)size;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory", "cc");
	return x0;
#else
	return syscall(__NR_bpf, cmd, attr, size) < 0 ? -errno : 0;
#endif
}

/* One operation on an entry. Returns 0 or an errno. */
static inline int lbpf_sys_elem(enum bpf_cmd cmd, int fd, const void *key, void *value, uint64_t flags)
{
	union bpf_attr attr;

	attr.map_fd = (uint32_t)fd;
	/* The kernel requires zeros in the padding between the descriptor and the key */
	((uint32_t *)&attr)[1] = 0;
	attr.key = (uintptr_t)key;
	attr.value = (uintptr_t)value;
	attr.flags = flags;
	return (int)-lbpf_sys_bpf(cmd, &attr, offsetof(union bpf_attr, flags) + sizeof(attr.flags));
}

#endif
