// SPDX-License-Identifier: MIT
// Runs a command for which the kernel refuses some kinds of programs before it verifies them, as a hardened kernel
// does: refuse kind[,kind...] command...
// A kind is type[:attach_type[:btf_id]] in the kernel's numbers. bpf(2) fails with EPERM, and the verifier's log holds
// its statistics only; with "-" before the kinds it holds nothing.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static const char STATISTICS[] = "processed 0 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 "
				 "mark_read 0\n";

static bool is_refused(const char *kinds, const union bpf_attr *attr)
{
	const unsigned long asked[] = { attr->prog_type, attr->expected_attach_type, attr->attach_btf_id };

	for (const char *kind = kinds; *kind; kind += *kind == ',') {
		bool same = true;

		for (size_t i = 0; i < 3 && *kind && *kind != ','; i++, kind += *kind == ':') {
			char *end;

			same = strtoul(kind, &end, 10) == asked[i] && same;
			kind = end;
		}
		if (same)
			return true;
	}
	return false;
}

/* Answers one call of BPF_PROG_LOAD. Its caller may have died meanwhile. */
static void answer(int listener, const char *kinds, bool silent)
{
	struct seccomp_notif call = { 0 };
	struct seccomp_notif_resp response = { 0 };
	union bpf_attr attr;
	struct iovec here = { &attr, 0 }, there;

	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call))
		return;
	memset(&attr, 0, sizeof(attr));
	here.iov_len = call.data.args[2] < sizeof(attr) ? call.data.args[2] : sizeof(attr);
	there = (struct iovec){ (void *)(uintptr_t)call.data.args[1], here.iov_len };
	response.id = call.id;
	response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	if (process_vm_readv((pid_t)call.pid, &here, 1, &there, 1, 0) > 0 && is_refused(kinds, &attr)) {
		response.flags = 0;
		response.error = -EPERM;
		if (!silent && attr.log_level && attr.log_size >= sizeof(STATISTICS)) {
			here = (struct iovec){ (void *)(uintptr_t)STATISTICS, sizeof(STATISTICS) };
			there = (struct iovec){ (void *)(uintptr_t)attr.log_buf, sizeof(STATISTICS) };
			process_vm_writev((pid_t)call.pid, &here, 1, &there, 1, 0);
		}
	}
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

/* Has the kernel ask us about each BPF_PROG_LOAD of this process's children. Returns a descriptor. */
static int listen_to_loads(void)
{
	struct sock_filter steps[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bpf, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, BPF_PROG_LOAD, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { sizeof(steps) / sizeof(*steps), steps };

	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter);
}

int main(int argc, char **argv)
{
	bool silent = argc > 1 && argv[1][0] == '-';
	int listener = argc > 2 ? listen_to_loads() : -1, status, alive[2];
	pid_t child;

	/* a pipe that ends with the command, and with all that it started */
	if (listener < 0 || pipe(alive) || (child = fork()) < 0) {
		perror("refuse");
		return 127;
	}
	if (child == 0) {
		close(alive[0]);
		execvp(argv[2], argv + 2);
		perror(argv[2]);
		_exit(127);
	}
	close(alive[1]);
	for (;;) {
		struct pollfd fds[] = { { listener, POLLIN, 0 }, { alive[0], POLLIN, 0 } };

		poll(fds, 2, -1);
		if (fds[0].revents & POLLIN)
			answer(listener, argv[1] + silent, silent);
		else if (fds[1].revents)
			break;
	}
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
