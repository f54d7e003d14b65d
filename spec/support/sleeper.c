// SPDX-License-Identifier: MIT
// A process whose functions specs look up: prints its number and their addresses and waits until its input ends.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int sleeper_global(int n);

__attribute__((noinline)) int sleeper_global(int n)
{
	return n * 3;
}

__attribute__((noinline)) static int sleeper_local(int n)
{
	return sleeper_global(n) + 1;
}

int main(void)
{
	char c;

	printf("%d %p %p %p %d\n", getpid(), (void *)sleeper_global, (void *)sleeper_local, (void *)malloc,
	       sleeper_local(1));
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
	return 0;
}
