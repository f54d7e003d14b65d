/* SPDX-License-Identifier: MIT */
/* A program with functions and marks to watch. It calls `nine` once. For each number that it reads, it calls
 * `probed_add`, passes the marks lbpf:step and lbpf:guarded, and prints the sum; for 0 it ends. */
#include <stdio.h>

#define _SDT_HAS_SEMAPHORES 1
#include <sys/sdt.h>

__extension__ unsigned short lbpf_step_semaphore __attribute__((section(".probes"), used));
__extension__ unsigned short lbpf_guarded_semaphore __attribute__((section(".probes"), used));

int probed_first(int a);
int probed_add(int a, int b);

__attribute__((noipa)) int probed_first(int a)
{
	return a * 2;
}

__attribute__((noipa)) int probed_add(int a, int b)
{
	return a + b;
}

/* Another name of a function. */
extern __typeof(probed_add) also_probed_add __attribute__((alias("probed_add")));

/* More arguments than registers have. */
long nine(long a, long b, long c, long d, long e, long f, long g, long h, long i);

__attribute__((noipa)) long nine(long a, long b, long c, long d, long e, long f, long g, long h, long i)
{
	return a + b + c + d + e + f + g + h + i;
}

/* Which function this is, is chosen when the program starts. */
int probed_chosen(int a);

static int (*choose(void))(int)
{
	return probed_first;
}

__attribute__((ifunc("choose"))) int probed_chosen(int a);

int main(void)
{
	long long n;

	n = nine(0, 1, 2, 3, 4, 5, 6, 7, -8);
	while (scanf("%lld", &n) == 1 && n) {
		int sum = probed_add((int)n, 1000);

		STAP_PROBE2(lbpf, step, n, "seven");
		if (lbpf_guarded_semaphore)
			STAP_PROBE1(lbpf, guarded, sum);
		printf("%d %d\n", probed_first(sum) / 2, lbpf_guarded_semaphore);
		fflush(stdout);
	}
	return 0;
}
