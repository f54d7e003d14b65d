/* SPDX-License-Identifier: MIT */
/* Runs a loaded program over and over, on data of 64 zero bytes, until its standard input ends:
 *
 *	runner <program id> <threads> <runs per call>
 *
 * Exits with 0 if every call succeeded. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#define MAX_THREADS 8

static int fd, repeat;
static atomic_bool over;

static void *run(void *arg)
{
	char data[64] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = data, .data_size_in = sizeof(data), .repeat = repeat);
	int *err = arg;

	while (!over && !*err)
		*err = bpf_prog_test_run_opts(fd, &opts);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[MAX_THREADS];
	int errors[MAX_THREADS] = { 0 };
	int wanted, count = 0, failed = 0;
	char c;

	if (argc != 4) {
		fprintf(stderr, "usage: runner PROGRAM_ID THREADS RUNS_PER_CALL\n");
		return 2;
	}
	fd = bpf_prog_get_fd_by_id((unsigned int)strtoul(argv[1], NULL, 10));
	wanted = atoi(argv[2]);
	repeat = atoi(argv[3]);
	if (fd < 0 || wanted < 1 || wanted > MAX_THREADS || repeat < 1) {
		fprintf(stderr, "runner: program %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	while (count < wanted && !pthread_create(&threads[count], NULL, run, &errors[count]))
		count++;
	while (read(STDIN_FILENO, &c, 1) > 0)
		continue;
	over = true;
	for (int i = 0; i < count; i++) {
		pthread_join(threads[i], NULL);
		if (errors[i]) {
			fprintf(stderr, "runner: %s\n", strerror(-errors[i]));
			failed = 1;
		}
	}
	return failed || count < wanted;
}
