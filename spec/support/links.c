/* SPDX-License-Identifier: MIT */
/* Makes a link of another process's program, as the kernel does it without libbpf's help:
 *
 *	links <program id> <target> <attach type's number>
 *
 * The target is a path, of a cgroup or network namespace, "map" and a map's id, or an interface's index. Prints
 *"ready", or what went wrong, and holds the link until its input ends. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

int main(int argc, char **argv)
{
	int prog, target, link;

	if (argc != 4)
		return 2;
	prog = bpf_prog_get_fd_by_id((unsigned int)atoi(argv[1]));
	if (argv[2][0] == '/')
		target = open(argv[2], O_RDONLY | O_CLOEXEC);
	else if (strncmp(argv[2], "map", 3) == 0)
		target = bpf_map_get_fd_by_id((unsigned int)atoi(argv[2] + 3));
	else
		target = atoi(argv[2]);
	link = bpf_link_create(prog, target, (enum bpf_attach_type)atoi(argv[3]), NULL);
	if (link < 0) {
		printf("%s\n", strerror(errno));
		return 1;
	}
	close(prog);
	printf("ready\n");
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}
