// SPDX-License-Identifier: MIT
// Notes kept with sockets: packets counted and refused by what the socket's note says.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct note {
	__u32 mark;
	__u32 refused; /* how many more packets to refuse */
	__u64 packets;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct note);
} notes SEC(".maps");

struct locked_note {
	__u32 mark;
	struct bpf_spin_lock lock;
	__u64 packets;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct locked_note);
} locked SEC(".maps");

_Bool create;	/* make notes for sockets that have none */
__u32 new_mark; /* of those */

/* Of a cgroup, for each packet that its sockets send. */
SEC("cgroup_skb/egress")
int on_packet(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk ? bpf_sk_fullsock(skb->sk) : NULL;
	struct locked_note *guarded;
	struct note *note;

	if (!sk)
		return 1;
	guarded = bpf_sk_storage_get(&locked, sk, NULL, 0);
	if (guarded) {
		bpf_spin_lock(&guarded->lock);
		guarded->packets++;
		bpf_spin_unlock(&guarded->lock);
	}
	note = bpf_sk_storage_get(&notes, sk, NULL, create ? BPF_SK_STORAGE_GET_F_CREATE : 0);
	if (!note)
		return 1;
	if (create && !note->packets)
		note->mark = new_mark;
	if (note->refused) {
		note->refused--;
		return 0;
	}
	note->packets++;
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
