// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Programs that drain user ring buffers: each call as many samples as are there, or as `limit` says. */
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

struct sample {
	__u32 seq;
	__u32 value;
	char text[8];
};

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 4096);
} samples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 8192);
} blobs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 10);
	__type(key, __u32);
	__type(value, struct sample);
} got SEC(".maps");

const volatile __u32 target; /* process whose system calls drain the samples */

__u64 count, sum, unordered;
__u32 last, bytes, first_byte, last_byte;
__u32 limit; /* 0: none */

static __u32 taken;
static volatile __u32 size; /* in memory, where the verifier doesn't follow its values: else each is a way of its own */

static long take_sample(struct bpf_dynptr *ptr, void *ctx)
{
	struct sample s = {};

	if (bpf_dynptr_read(&s, sizeof(s), ptr, 0, 0))
		return 1;
	if (s.seq != last + 1)
		unordered++;
	last = s.seq;
	count++;
	sum += s.value;
	bpf_map_update_elem(&got, &s.seq, &s, BPF_ANY);
	return limit && ++taken >= limit;
}

static long take_blob(struct bpf_dynptr *ptr, void *ctx)
{
	__u8 byte = 0;

	count++;
	size = 0;
	if (bpf_dynptr_read(&byte, 1, ptr, 0, 0) == 0)
		first_byte = byte;
	/* how long it is: as far as bytes can be read */
	for (__u32 step = 1 << 13; step; step >>= 1)
		if (bpf_dynptr_read(&byte, 1, ptr, size + step - 1, 0) == 0) {
			size += step;
			last_byte = byte;
		}
	bytes = size;
	return 0;
}

SEC("raw_tp/sys_enter")
int on_call(void *ctx)
{
	if (!target || bpf_get_current_pid_tgid() >> 32 != target)
		return 0;
	taken = 0;
	bpf_user_ringbuf_drain(&samples, take_sample, NULL, 0);
	return 0;
}

/* The same by hand; the answer is how many samples were drained, or an errno. */
SEC("raw_tp")
int drain_samples(void *ctx)
{
	taken = 0;
	return bpf_user_ringbuf_drain(&samples, take_sample, NULL, 0);
}

SEC("raw_tp")
int drain_blobs(void *ctx)
{
	return bpf_user_ringbuf_drain(&blobs, take_blob, NULL, 0);
}

char LICENSE[] SEC("license") = "GPL";
