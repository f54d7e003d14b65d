// SPDX-License-Identifier: MIT
// A program with USDT probes, to be watched. While nobody does, each costs one instruction that does nothing.
#include <stdio.h>
#include <unistd.h>
#include <sys/sdt.h>

int main(void)
{
	static const char *dishes[] = { "soup", "noodles", "dumplings" };

	for (int order = 1; order <= 6; order++) {
		char dish[16]; // a copy: BPF can't read what was never touched and so isn't in memory yet

		snprintf(dish, sizeof(dish), "%s", dishes[order % 3]);
		STAP_PROBE2(kitchen, ordered, order, dish);
		usleep(100000);
		STAP_PROBE3(kitchen, served, order, dish, order * 250);
	}
	return 0;
}
