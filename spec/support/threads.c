// SPDX-License-Identifier: MIT
// A process with a second thread. For each letter that it reads, somebody writes to 1000 new pages, and then it prints
// a line: "m" the first thread, "s" the second one, "n" a thread that the second one starts, "c" a process that it
// starts.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGES = 1000 };

static int orders[2], answers[2]; // pipes to the second thread and back

static void *touch(void *unused)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *memory = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		abort();
	madvise(memory, PAGES * page, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < PAGES; i++)
		memory[i * page] = 1;
	munmap(memory, PAGES * page);
	return unused;
}

static void obey(char order)
{
	pthread_t thread;
	pid_t child;

	if (order == 'n') {
		if (pthread_create(&thread, NULL, touch, NULL) || pthread_join(thread, NULL))
			abort();
	} else if (order == 'c') {
		child = fork();
		if (child == 0) {
			touch(NULL);
			_exit(0);
		}
		waitpid(child, NULL, 0);
	} else {
		touch(NULL);
	}
}

static void *second(void *unused)
{
	char order;

	while (read(orders[0], &order, 1) == 1) {
		obey(order);
		if (write(answers[1], &order, 1) != 1)
			abort();
	}
	return unused;
}

int main(void)
{
	pthread_t thread;
	char order;

	if (pipe(orders) || pipe(answers) || pthread_create(&thread, NULL, second, NULL))
		return 1;
	printf("%d\n", getpid());
	fflush(stdout);
	while (read(0, &order, 1) == 1) {
		if (order == 'm')
			touch(NULL);
		else if (write(orders[1], &order, 1) != 1 || read(answers[0], &order, 1) != 1)
			return 1;
		printf("%c\n", order);
		fflush(stdout);
	}
	return 0;
}
