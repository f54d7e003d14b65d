// SPDX-License-Identifier: MIT
// A value with a work queue, set up once and started whenever somebody asks.
// Only newer headers have it: ours is for all.
#define bpf_wq uapi_bpf_wq
#include <linux/bpf.h>
#undef bpf_wq
#include <bpf/bpf_helpers.h>

struct bpf_wq {
	__u64 opaque[2];
} __attribute__((aligned(8)));

struct work {
	__u64 done;
	struct bpf_wq wq;
	__u64 note;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct work);
} works SEC(".maps");

extern int bpf_wq_init(struct bpf_wq *wq, void *map, unsigned int flags) __ksym;
extern int bpf_wq_start(struct bpf_wq *wq, unsigned int flags) __ksym;
#ifdef WITHOUT_AUX
extern int bpf_wq_set_callback(struct bpf_wq *wq, int (*callback)(void *map, int *key, void *value),
			       unsigned int flags) __ksym;
#else
extern int bpf_wq_set_callback_impl(struct bpf_wq *wq, int (*callback)(void *map, int *key, void *value),
				    unsigned int flags, void *aux) __ksym;
#define bpf_wq_set_callback(wq, callback, flags) bpf_wq_set_callback_impl(wq, callback, flags, 0)
#endif

static int on_work(void *map, int *key, void *value)
{
	__sync_fetch_and_add(&((struct work *)value)->done, 1);
	return 0;
}

SEC("syscall")
int set_up(void *ctx)
{
	__u32 key = 0;
	struct work *work = bpf_map_lookup_elem(&works, &key);

	if (!work)
		return 1;
	if (bpf_wq_init(&work->wq, &works, 0))
		return 2;
	return bpf_wq_set_callback(&work->wq, on_work, 0);
}

/* An answer other than 0: there is no work queue that was set up. */
SEC("syscall")
int start(void *ctx)
{
	__u32 key = 0;
	struct work *work = bpf_map_lookup_elem(&works, &key);

	return work ? bpf_wq_start(&work->wq, 0) : 1;
}

char LICENSE[] SEC("license") = "GPL";
