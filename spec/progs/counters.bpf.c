// SPDX-License-Identifier: MIT
// Perf events in a map: one is read by a program, through another a program sends data.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
} events SEC(".maps"); /* one for each CPU; libbpf counts them */

struct bpf_perf_event_value value;
__u32 target; /* the thread whose calls count */
__s64 error;
__u64 read;
__u32 cpu; /* where it was read last */
__u64 sent;

static int is_target(void)
{
	return (__u32)bpf_get_current_pid_tgid() == target;
}

/* Reads the event of the CPU that it runs on. */
SEC("raw_tp/sys_enter")
int count(void *ctx)
{
	struct bpf_perf_event_value now = {};

	if (!is_target())
		return 0;
	error = bpf_perf_event_read_value(&events, BPF_F_CURRENT_CPU, &now, sizeof(now));
	if (error)
		return 0;
	value = now;
	cpu = bpf_get_smp_processor_id();
	read++;
	return 0;
}

/* Sends each number once. */
SEC("raw_tp/sys_exit")
int send(void *ctx)
{
	__u64 data;

	if (!is_target())
		return 0;
	data = sent + 1;
	error = bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, &data, sizeof(data));
	if (error)
		return 0;
	sent++;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
