// SPDX-License-Identifier: MIT
// A program that does nothing, of any kind: spec/support/kinds.lua puts another section's name in place of this one's.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("lbpf_section_of_64_characters...................................")
int nothing(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
