// SPDX-License-Identifier: MIT
// Counts how often an event overflows, where and for whom.
#include <linux/bpf.h>
#include <linux/bpf_perf_event.h>
#include <bpf/bpf_helpers.h>

__u64 hits;
__u64 pid;
__u64 period;
__u64 cookie;
__u64 cpus; /* a bit for each CPU that it happened on */

SEC("perf_event")
int on_event(struct bpf_perf_event_data *ctx)
{
	pid = bpf_get_current_pid_tgid() >> 32;
	period = ctx->sample_period;
	cpus |= 1ULL << (bpf_get_smp_processor_id() & 63);
	__sync_fetch_and_add(&hits, 1);
	return 0;
}

SEC("perf_event")
int with_cookie(struct bpf_perf_event_data *ctx)
{
	cookie = bpf_get_attach_cookie(ctx);
	__sync_fetch_and_add(&hits, 1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
