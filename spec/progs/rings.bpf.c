// SPDX-License-Identifier: MIT
// Programs that fill ring buffers in all the ways readers have to cope with.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct note {
	__u32 seq;
	__u32 pid;
	__u64 square;
	char text[8];
};

struct list {
	__u32 count;
	__u32 item[];
};

struct request {
	__u32 from;  /* the first record's number */
	__u32 count; /* how many, at most 256 */
	__u32 size;  /* of the ones that vary */
	__u32 skip;  /* discards each record whose number divides by this */
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} notes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} small SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} blobs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} other SEC(".maps");

__u64 sent;
__u64 lost;
__u32 seen;
__u32 discards;
const volatile char target[16] = "";
const struct note *note_in_btf;
const struct list *list_in_btf;
static volatile __u64 scratch[256];
static volatile __u32 items[65];

/* Sends one note, to `small` if asked to: 0 if there was room. Global, so that older verifiers look into it once, not
 * for every turn of the loop.
 */
__attribute__((noinline)) int send_note(__u32 seq, __u32 skip, __u32 to_small)
{
	struct note *n;

	if (to_small)
		n = bpf_ringbuf_reserve(&small, sizeof(*n), 0);
	else
		n = bpf_ringbuf_reserve(&notes, sizeof(*n), 0);
	if (!n) {
		lost++;
		return 1;
	}
	n->seq = seq;
	n->pid = bpf_get_current_pid_tgid() >> 32;
	n->square = (__u64)seq * seq;
	__builtin_memcpy(n->text, "note\0\0\0", 8);
	n->text[4] = '0' + seq % 10;
	if (skip && seq % skip == 0) {
		bpf_ringbuf_discard(n, 0);
		return 0;
	}
	bpf_ringbuf_submit(n, 0);
	sent++;
	return 0;
}

static __always_inline int send(const struct request *req, __u32 to_small)
{
	__u32 from = req->from, count = req->count, skip = req->skip;

	for (__u32 i = 0; i < 256 && i < count; i++)
		if (send_note(from + i, skip, to_small))
			return i;
	return count;
}

SEC("raw_tp")
int send_notes(struct request *req)
{
	return send(req, 0);
}

SEC("raw_tp")
int send_small(struct request *req)
{
	return send(req, 1);
}

/* A value that the compiler knows nothing about. */
static __always_inline __u32 again(__u32 value)
{
	asm volatile("" : "+r"(value));
	return value;
}

/* One record of req->size bytes, all of them the lowest of req->from. */
SEC("raw_tp")
int send_blob(struct request *req)
{
	__u32 size = req->size;

	if (size == 0 || size > sizeof(scratch))
		return -1;
	for (__u32 i = 0; i < 256 && i < size; i++)
		scratch[i] = (req->from & 0xff) * 0x0101010101010101;
	size = again(size); /* the loop made the verifier forget its bounds */
	if (size > sizeof(scratch))
		return -1;
	return bpf_ringbuf_output(&blobs, (void *)scratch, size, 0);
}

/* One list of req->count numbers, counting up from req->from. */
SEC("raw_tp")
int send_list(struct request *req)
{
	__u32 from = req->from, count = req->count;

	if (count > 64)
		return -1;
	items[0] = count;
	for (__u32 i = 0; i < 64 && i < count; i++)
		items[1 + i] = from + i;
	count = again(count);
	if (count > 64)
		return -1;
	return bpf_ringbuf_output(&blobs, (void *)items, 4 + 4 * count, 0);
}

/* A record for every process called target, the first ones discarded. */
SEC("raw_tp/sys_enter")
int on_process(void *ctx)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	char comm[16] = {};
	struct note *n;

	bpf_get_current_comm(comm, sizeof(comm));
	for (int i = 0; i < 16; i++) {
		if (comm[i] != target[i])
			return 0;
		if (!comm[i])
			break;
	}
	if (pid == seen)
		return 0;
	seen = pid;
	n = bpf_ringbuf_reserve(&notes, sizeof(*n), 0);
	if (!n)
		return 0;
	n->seq = 1;
	n->pid = pid;
	n->square = 1;
	__builtin_memcpy(n->text, "process", 8);
	if (discards) {
		discards--;
		bpf_ringbuf_discard(n, 0);
		return 0;
	}
	bpf_ringbuf_submit(n, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
