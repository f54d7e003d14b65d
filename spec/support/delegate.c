/* SPDX-License-Identifier: MIT */
/* Usage: delegate <options> <folder> <command...>
 * Runs a command as in a container: in user and mount namespaces of its own, with a bpffs at the folder that delegates
 * what the options say: "delegate_cmds=any,delegate_maps=hash:array,…", or "" for nothing. Status 77: this machine has
 * no such namespaces, or its bpffs no such options. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define UNAVAILABLE 77

static int fail(int status, const char *what)
{
	fprintf(stderr, "delegate: %s: %s\n", what, strerror(errno));
	return status;
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int bad = fd < 0 || write(fd, text, strlen(text)) < 0;

	if (fd >= 0)
		close(fd);
	return bad;
}

/* Maps root in the namespace to who runs this, which a process may do without any capability. */
static int enter_namespaces(void)
{
	char uids[32], gids[32];

	snprintf(uids, sizeof(uids), "0 %u 1", (unsigned int)geteuid());
	snprintf(gids, sizeof(gids), "0 %u 1", (unsigned int)getegid());
	return unshare(CLONE_NEWUSER | CLONE_NEWNS) || write_file("/proc/self/setgroups", "deny") ||
		write_file("/proc/self/uid_map", uids) || write_file("/proc/self/gid_map", gids);
}

/* The child's part. A bpffs belongs to the user namespace in which its context was opened; what it delegates, only one
 * that has CAP_SYS_ADMIN outside may set. */
static int run_inside(int ask, int answer, const char *folder, char **command)
{
	int context, mounted;
	char done;

	if (enter_namespaces())
		return fail(UNAVAILABLE, "user namespaces");
	context = fsopen("bpf", FSOPEN_CLOEXEC);
	if (context < 0)
		return fail(UNAVAILABLE, "fsopen");
	if (write(ask, &context, sizeof(context)) != sizeof(context) || read(answer, &done, 1) != 1)
		return 1; /* the parent says why */
	mounted = fsmount(context, FSMOUNT_CLOEXEC, 0);
	if (mounted < 0 || move_mount(mounted, "", AT_FDCWD, folder, MOVE_MOUNT_F_EMPTY_PATH))
		return fail(1, "mounting");
	close(mounted);
	close(context);
	close(ask);
	close(answer);
	execvp(*command, command);
	return fail(1, *command);
}

static int configure(int context, char *options)
{
	for (char *option = strtok(options, ","); option; option = strtok(NULL, ",")) {
		char *value = strchr(option, '=');

		if (value)
			*value++ = '\0';
		if (fsconfig(context, FSCONFIG_SET_STRING, option, value, 0))
			return fail(UNAVAILABLE, option);
	}
	return fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) ? fail(1, "creating the bpffs") : 0;
}

/* The parent's part. Returns the status of a failure, or 0. */
static int answer_child(pid_t child, int ask, int answer, char *options)
{
	int context, status, pidfd;

	if (read(ask, &context, sizeof(context)) != sizeof(context))
		return 0; /* the child has said why */
	pidfd = (int)syscall(SYS_pidfd_open, child, 0);
	context = (int)syscall(SYS_pidfd_getfd, pidfd, context, 0);
	status = context < 0 ? fail(1, "pidfd_getfd") : configure(context, options);
	if (!status && write(answer, "", 1) != 1)
		status = fail(1, "answering");
	close(context);
	close(pidfd);
	return status;
}

int main(int argc, char **argv)
{
	int ask[2], answer[2], status, ended;
	pid_t child;

	if (argc < 4 || pipe2(ask, O_CLOEXEC) || pipe2(answer, O_CLOEXEC))
		return fail(2, "usage: delegate <options> <folder> <command...>");
	child = fork();
	if (child == 0)
		_exit(run_inside(ask[1], answer[0], argv[2], argv + 3));
	close(ask[1]);
	close(answer[0]);
	status = child < 0 ? fail(1, "fork") : answer_child(child, ask[0], answer[1], argv[1]);
	close(answer[1]);
	if (child > 0 && waitpid(child, &ended, 0) == child && !status)
		status = WIFEXITED(ended) ? WEXITSTATUS(ended) : 1;
	return status;
}
