/* SPDX-License-Identifier: MIT */
/* Requests by rtnetlink: the kernel's lists of interfaces, queueing disciplines and filters. Doesn't use Lua. */
#ifndef LBPF_BASE_NETLINK_H
#define LBPF_BASE_NETLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/netlink.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* The attributes of a message, or those nested in one of them. */
struct lbpf_attributes {
	const char *at;
	size_t size;
};

/* Where the answer goes: an array of the caller's, with a row for each message that `read` accepts. */
struct lbpf_rows {
	void *at;
	size_t size, room; /* bytes of a row; rows that the array has room for */
	size_t count;	   /* rows of the answer, which may be more than there is room for */
	/* Whether the message is a row, which it fills in; NULL: there is no room. */
	bool (*read)(const struct nlmsghdr *message, void *row);
};

/* Sends the request and reads the whole answer. Returns 0 or an errno; EAGAIN if the list changed each time it was
 * read. */
int lbpf_netlink_ask(const struct nlmsghdr *request, struct lbpf_rows *rows);

/* The attributes of a message, behind its header and a family's header of `fixed` bytes. */
struct lbpf_attributes lbpf_netlink_attributes(const struct nlmsghdr *message, size_t fixed);

/* The contents of the attribute of this type; `at` is NULL if there is none. */
struct lbpf_attributes lbpf_netlink_find(struct lbpf_attributes in, uint16_t type);

/* The integer in the attribute of this type, or 0. */
uint32_t lbpf_netlink_u32(struct lbpf_attributes in, uint16_t type);

/* Copies the text of the attribute of this type, cut to size - 1 bytes; an empty text if there is none. */
void lbpf_netlink_text(struct lbpf_attributes in, uint16_t type, char *out, size_t size);

LBPF_HIDDEN_END

#endif
