// SPDX-License-Identifier: MIT
// What the recipes of docs/servers.md open by their pins. The spec runs both programs in place of a network's packets.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct client {
	__u8 address[4];
};

struct packet {
	__u8 address[4];
	__u32 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 100);
	__type(key, __u8[4]);
	__type(value, __u64);
} requests SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 100);
	__type(key, __u8[4]);
	__type(value, __u64);
} dropped SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} turns SEC(".maps");

/* Counts a request of a client. */
SEC("syscall")
int count(struct client *ctx)
{
	struct client client = *ctx;
	__u64 zero = 0, *n;

	bpf_map_update_elem(&requests, &client, &zero, BPF_NOEXIST); /* fails if there is an entry */
	n = bpf_map_lookup_elem(&requests, &client);
	if (!n)
		return 1; /* the map is full */
	__sync_fetch_and_add(n, 1);
	return 0;
}

/* Reports a packet of a client: 0 if there was room. */
SEC("syscall")
int drop(struct packet *ctx)
{
	struct packet packet = *ctx;

	return bpf_ringbuf_output(&events, &packet, sizeof(packet), 0) ? 1 : 0;
}

char LICENSE[] SEC("license") = "GPL";
