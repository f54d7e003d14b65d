// SPDX-License-Identifier: MIT
// A constant that is too large for a value on the C stack, and a program that reads it.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct settings {
	__u32 level;
	char text[300];
};

const volatile struct settings settings = { .level = 3, .text = "default" };

SEC("raw_tp")
int level(void *ctx)
{
	return settings.level;
}

char LICENSE[] SEC("license") = "GPL";
