// SPDX-License-Identifier: MIT
// Timers in values.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define CLOCK_MONOTONIC 1

struct alarm {
	__u64 fired;
	struct bpf_timer timer;
	__u64 note;
};

struct locked_alarm {
	struct bpf_spin_lock lock;
	__u32 fired;
	struct bpf_timer timer;
	__u64 note;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct alarm);
} alarms SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct locked_alarm);
} locked_alarms SEC(".maps");

__u64 nsecs; /* what timers are set to */
__u64 rings; /* of the timers of locked_alarms */

static int on_alarm(void *map, __u32 *key, struct alarm *alarm)
{
	alarm->fired++;
	return 0;
}

static int on_locked_alarm(void *map, __u32 *key, struct locked_alarm *alarm)
{
	alarm->fired++;
	__sync_fetch_and_add(&rings, 1);
	return 0;
}

/* Sets the timer of slot 0. */
SEC("tc") /* syscall programs didn't use to be allowed locks */
int arm(struct __sk_buff *ctx)
{
	__u32 key = 0;
	struct alarm *alarm = bpf_map_lookup_elem(&alarms, &key);

	if (!alarm)
		return 1;
	bpf_timer_init(&alarm->timer, &alarms, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&alarm->timer, on_alarm);
	return bpf_timer_start(&alarm->timer, nsecs, 0);
}

/* Sets the timer of the entry 0. */
SEC("tc")
int arm_locked(struct __sk_buff *ctx)
{
	__u32 key = 0;
	struct locked_alarm *alarm = bpf_map_lookup_elem(&locked_alarms, &key);

	if (!alarm)
		return 1;
	bpf_timer_init(&alarm->timer, &locked_alarms, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&alarm->timer, on_locked_alarm);
	return bpf_timer_start(&alarm->timer, nsecs, 0);
}

char LICENSE[] SEC("license") = "GPL";
