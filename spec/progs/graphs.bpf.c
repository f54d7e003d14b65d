// SPDX-License-Identifier: MIT
// A value with a list and a tree, whose nodes are the kernel's.
// Only newer headers have these: ours are for all.
#define bpf_list_head uapi_bpf_list_head
#define bpf_list_node uapi_bpf_list_node
#define bpf_rb_root uapi_bpf_rb_root
#define bpf_rb_node uapi_bpf_rb_node
#include <linux/bpf.h>
#undef bpf_list_head
#undef bpf_list_node
#undef bpf_rb_root
#undef bpf_rb_node
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#define __contains(name, node) __attribute__((btf_decl_tag("contains:" #name ":" #node)))

struct bpf_list_head {
	__u64 opaque[2];
} __attribute__((aligned(8)));

struct bpf_list_node {
	__u64 opaque[3];
} __attribute__((aligned(8)));

struct bpf_rb_root {
	__u64 opaque[2];
} __attribute__((aligned(8)));

struct bpf_rb_node {
	__u64 opaque[4];
} __attribute__((aligned(8)));

struct item {
	struct bpf_list_node link;
	__u64 number;
};

struct leaf {
	struct bpf_rb_node link;
	__u64 number;
};

struct bag {
	struct bpf_spin_lock lock;
	struct bpf_list_head list __contains(item, link);
	struct bpf_rb_root tree __contains(leaf, link);
	__u64 n;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bag);
} bags SEC(".maps");

extern void *bpf_obj_new_impl(__u64 id, void *meta) __ksym;
extern void bpf_obj_drop_impl(void *object, void *meta) __ksym;
extern int bpf_list_push_front_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta,
				    __u64 off) __ksym;
extern struct bpf_list_node *bpf_list_pop_front(struct bpf_list_head *head) __ksym;
extern int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node,
			       _Bool(less)(struct bpf_rb_node *a, const struct bpf_rb_node *b), void *meta,
			       __u64 off) __ksym;
extern struct bpf_rb_node *bpf_rbtree_first(struct bpf_rb_root *root) __ksym;
extern struct bpf_rb_node *bpf_rbtree_remove(struct bpf_rb_root *root, struct bpf_rb_node *node) __ksym;

static _Bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return ((struct leaf *)a)->number < ((const struct leaf *)b)->number;
}

/* Puts 42 into the list and 43 into the tree of entry 0. */
SEC("tc")
int put(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct bag *bag = bpf_map_lookup_elem(&bags, &key);
	struct item *item;
	struct leaf *leaf;

	if (!bag)
		return 1;
	item = bpf_obj_new_impl(bpf_core_type_id_local(struct item), 0);
	if (!item)
		return 2;
	leaf = bpf_obj_new_impl(bpf_core_type_id_local(struct leaf), 0);
	if (!leaf) {
		bpf_obj_drop_impl(item, 0);
		return 2;
	}
	item->number = 42;
	leaf->number = 43;
	bpf_spin_lock(&bag->lock);
	bpf_list_push_front_impl(&bag->list, &item->link, 0, 0);
	bpf_rbtree_add_impl(&bag->tree, &leaf->link, less, 0, 0);
	bpf_spin_unlock(&bag->lock);
	return 0;
}

/* Takes what the list of entry 0 begins with; 0 if it is empty. */
SEC("tc")
int take_item(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct bag *bag = bpf_map_lookup_elem(&bags, &key);
	struct bpf_list_node *node;
	int number;

	if (!bag)
		return -1;
	bpf_spin_lock(&bag->lock);
	node = bpf_list_pop_front(&bag->list);
	bpf_spin_unlock(&bag->lock);
	if (!node)
		return 0;
	number = (int)((struct item *)node)->number;
	bpf_obj_drop_impl(node, 0);
	return number;
}

/* Takes the least of the tree of entry 0; 0 if it is empty. */
SEC("tc")
int take_leaf(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct bag *bag = bpf_map_lookup_elem(&bags, &key);
	struct bpf_rb_node *node;
	int number;

	if (!bag)
		return -1;
	bpf_spin_lock(&bag->lock);
	node = bpf_rbtree_first(&bag->tree);
	if (!node) {
		bpf_spin_unlock(&bag->lock);
		return 0;
	}
	node = bpf_rbtree_remove(&bag->tree, node);
	bpf_spin_unlock(&bag->lock);
	if (!node)
		return 0;
	number = (int)((struct leaf *)node)->number;
	bpf_obj_drop_impl(node, 0);
	return number;
}

char LICENSE[] SEC("license") = "GPL";
