// SPDX-License-Identifier: MIT
// Runs a command for which bpf(2) fails with EPERM whatever it may, as under a security module: nobpf command...
// In its place another system call: nobpf --eventfd command..., nobpf --socket command...
// Variable NOBPF is the number of another errno.
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static unsigned int call_of(const char *option)
{
	return strcmp(option, "--eventfd") == 0 ? SYS_eventfd2 : strcmp(option, "--socket") == 0 ? SYS_socket : SYS_bpf;
}

int main(int argc, char **argv)
{
	unsigned int call = argc > 1 ? call_of(argv[1]) : SYS_bpf;
	const char *number = getenv("NOBPF");
	unsigned int err = number ? (unsigned int)strtoul(number, NULL, 10) : EPERM;
	struct sock_filter steps[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { sizeof(steps) / sizeof(*steps), steps };

	argv += call != SYS_bpf;
	if (argc > 1 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0)
		execvp(argv[1], argv + 1);
	perror("nobpf");
	return 127;
}
