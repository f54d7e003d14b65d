/* SPDX-License-Identifier: MIT */
/* Queueing disciplines of interfaces, and the tc filters in them that run programs. Doesn't use Lua. */
#ifndef LBPF_PROGRAM_QDISC_H
#define LBPF_PROGRAM_QDISC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compat.h"
#include "base/netlink.h"

LBPF_HIDDEN_BEGIN

enum { LBPF_QDISC_KIND = 16 }; /* the kernel's IFNAMSIZ, which limits these names */

/* A queueing discipline, or a class of one. */
struct lbpf_qdisc {
	int ifindex;
	uint32_t handle, parent;
	char kind[LBPF_QDISC_KIND];
};

/* A filter that runs a program. */
struct lbpf_filter {
	int ifindex; /* 0: the filter is in a block that several queueing disciplines share */
	uint32_t parent, handle, chain, block, prog_id;
	uint16_t priority, protocol; /* the protocol is in network byte order */
	bool direct_action;
	char name[64]; /* the name that the filter was given, which is not the program's */
};

/* The kind of queueing discipline in the place that clsact and ingress share: "clsact" or "ingress". Returns 0 or an
 * errno; ENOENT if there is none. */
int lbpf_qdisc_kind(int ifindex, char kind[LBPF_QDISC_KIND]);

/* Lists the queueing disciplines of all interfaces. `rows` are of struct lbpf_qdisc. Returns 0 or an errno. */
int lbpf_qdisc_list(struct lbpf_rows *rows);

/* Lists the classes of an interface, likewise. */
int lbpf_qdisc_classes(int ifindex, struct lbpf_rows *rows);

/* Lists an interface's filters that run programs, below one parent. `rows` are of struct lbpf_filter. */
int lbpf_qdisc_filters(int ifindex, uint32_t parent, struct lbpf_rows *rows);

/* Removes a filter. Returns 0 or an errno. */
int lbpf_qdisc_remove(const struct lbpf_filter *filter);

LBPF_HIDDEN_END

#endif
