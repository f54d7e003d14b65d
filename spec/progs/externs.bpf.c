// SPDX-License-Identifier: MIT
// What libbpf fills in from the kernel: its version, its configuration, and offsets of structs in its BTF.
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

extern int LINUX_KERNEL_VERSION __kconfig;
extern int CONFIG_LBPF_NUMBER __kconfig __weak;
extern bool CONFIG_LBPF_BOOL __kconfig __weak;
extern enum libbpf_tristate CONFIG_LBPF_TRISTATE __kconfig __weak;
extern const char CONFIG_LBPF_TEXT[16] __kconfig __weak;

struct lbpf_made_up {
	__u64 wanted;
} __attribute__((preserve_access_index));

__u32 version;
__u32 number;
bool boolean;
__u32 tristate;
char letter;
__u32 exists;
__u32 offset;

SEC("raw_tp")
int copy(void *ctx)
{
	struct lbpf_made_up *made_up = ctx;

	version = LINUX_KERNEL_VERSION;
	number = CONFIG_LBPF_NUMBER;
	boolean = CONFIG_LBPF_BOOL;
	tristate = CONFIG_LBPF_TRISTATE;
	letter = CONFIG_LBPF_TEXT[0];
	exists = bpf_core_field_exists(made_up->wanted);
	if (exists)
		offset = __builtin_preserve_field_info(made_up->wanted, BPF_FIELD_BYTE_OFFSET);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
