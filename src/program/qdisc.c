/* SPDX-License-Identifier: MIT */
#include "program/qdisc.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/if_ether.h>
#include <linux/netlink.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

struct request {
	struct nlmsghdr head;
	struct tcmsg tc;
	struct rtattr chain_head;
	uint32_t chain;
};

/* The fixed part of a message of traffic control. Returns its attributes. */
static struct lbpf_attributes read_tc(const struct nlmsghdr *message, struct tcmsg *tc)
{
	struct lbpf_attributes in = lbpf_netlink_attributes(message, sizeof(*tc));

	if (in.at)
		memcpy(tc, message + 1, sizeof(*tc));
	else
		memset(tc, 0, sizeof(*tc));
	return in;
}

static bool read_qdisc(const struct nlmsghdr *message, void *row)
{
	struct lbpf_qdisc *out = row;
	struct tcmsg tc;
	struct lbpf_attributes in = read_tc(message, &tc);

	if (!in.at || (message->nlmsg_type != RTM_NEWQDISC && message->nlmsg_type != RTM_NEWTCLASS))
		return false;
	if (!out)
		return true;
	out->ifindex = tc.tcm_ifindex;
	out->handle = tc.tcm_handle;
	out->parent = tc.tcm_parent;
	lbpf_netlink_text(in, TCA_KIND, out->kind, sizeof(out->kind));
	return true;
}

/* A list also has a message for each priority, which is no filter and names no program. */
static bool read_filter(const struct nlmsghdr *message, void *row)
{
	struct lbpf_filter *out = row;
	struct tcmsg tc;
	struct lbpf_attributes in = read_tc(message, &tc), options = lbpf_netlink_find(in, TCA_OPTIONS);
	uint32_t id = lbpf_netlink_u32(options, TCA_BPF_ID);
	char kind[LBPF_QDISC_KIND];

	lbpf_netlink_text(in, TCA_KIND, kind, sizeof(kind));
	if (message->nlmsg_type != RTM_NEWTFILTER || !id || strcmp(kind, "bpf") != 0)
		return false;
	if (!out)
		return true;
	*out = (struct lbpf_filter){
		.ifindex = tc.tcm_ifindex == (int)TCM_IFINDEX_MAGIC_BLOCK ? 0 : tc.tcm_ifindex,
		.parent = tc.tcm_parent,
		.handle = tc.tcm_handle,
		.chain = lbpf_netlink_u32(in, TCA_CHAIN),
		.prog_id = id,
		.priority = (uint16_t)(TC_H_MAJ(tc.tcm_info) >> 16),
		.protocol = (uint16_t)TC_H_MIN(tc.tcm_info),
		.direct_action = lbpf_netlink_u32(options, TCA_BPF_FLAGS) & TCA_BPF_FLAG_ACT_DIRECT,
	};
	if (!out->ifindex) {
		out->block = tc.tcm_parent; /* tcm_block_index, which has the parent's place */
		out->parent = 0;
	}
	lbpf_netlink_text(options, TCA_BPF_NAME, out->name, sizeof(out->name));
	return true;
}

static int list(uint16_t type, int ifindex, uint32_t parent, struct lbpf_rows *rows)
{
	struct request ask = {
		.head = { .nlmsg_len = NLMSG_LENGTH(sizeof(ask.tc)),
			  .nlmsg_type = type,
			  .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.tc = { .tcm_family = AF_UNSPEC, .tcm_ifindex = ifindex, .tcm_parent = parent },
	};

	return lbpf_netlink_ask(&ask.head, rows);
}

int lbpf_qdisc_list(struct lbpf_rows *rows)
{
	rows->size = sizeof(struct lbpf_qdisc);
	rows->read = read_qdisc;
	return list(RTM_GETQDISC, 0, 0, rows);
}

int lbpf_qdisc_classes(int ifindex, struct lbpf_rows *rows)
{
	rows->size = sizeof(struct lbpf_qdisc);
	rows->read = read_qdisc;
	return list(RTM_GETTCLASS, ifindex, 0, rows);
}

int lbpf_qdisc_filters(int ifindex, uint32_t parent, struct lbpf_rows *rows)
{
	rows->size = sizeof(struct lbpf_filter);
	rows->read = read_filter;
	return list(RTM_GETTFILTER, ifindex, parent, rows);
}

int lbpf_qdisc_kind(int ifindex, char kind[LBPF_QDISC_KIND])
{
	struct request ask = {
		.head = { .nlmsg_len = NLMSG_LENGTH(sizeof(ask.tc)),
			  .nlmsg_type = RTM_GETQDISC,
			  /* Older kernels report an error only in this way. */
			  .nlmsg_flags = NLM_F_REQUEST | NLM_F_ECHO },
		.tc = { .tcm_family = AF_UNSPEC, .tcm_ifindex = ifindex, .tcm_parent = TC_H_CLSACT },
	};
	struct lbpf_qdisc found;
	struct lbpf_rows rows = { .at = &found, .size = sizeof(found), .room = 1, .read = read_qdisc };
	int err = lbpf_netlink_ask(&ask.head, &rows);

	if (!err && rows.count)
		memcpy(kind, found.kind, LBPF_QDISC_KIND);
	return !err && !rows.count ? EPROTO : err;
}

static bool read_nothing(const struct nlmsghdr *message, void *row)
{
	(void)message;
	(void)row;
	return false;
}

int lbpf_qdisc_remove(const struct lbpf_filter *filter)
{
	struct request ask = {
		.head = { .nlmsg_len = sizeof(ask),
			  .nlmsg_type = RTM_DELTFILTER,
			  .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		.tc = { .tcm_family = AF_UNSPEC,
			.tcm_ifindex = filter->ifindex ? filter->ifindex : (int)TCM_IFINDEX_MAGIC_BLOCK,
			.tcm_parent = filter->ifindex ? filter->parent : filter->block,
			.tcm_handle = filter->handle,
			.tcm_info = TC_H_MAKE((uint32_t)filter->priority << 16, filter->protocol) },
		.chain_head = { .rta_len = sizeof(ask.chain_head) + sizeof(ask.chain), .rta_type = TCA_CHAIN },
		.chain = filter->chain,
	};
	struct lbpf_rows rows = { .read = read_nothing };

	return lbpf_netlink_ask(&ask.head, &rows);
}
