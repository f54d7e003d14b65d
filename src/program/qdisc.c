/* SPDX-License-Identifier: MIT */
#include "program/qdisc.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/netlink.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

struct message {
	struct nlmsghdr head;
	union {
		struct {
			struct tcmsg tc;
			char attributes[4096];
		};
		struct nlmsgerr error;
	};
};

/* Finds the kind in the attributes of a netlink message. */
static int read_kind(const struct message *m, size_t size, char kind[LBPF_QDISC_KIND])
{
	size_t end = size - offsetof(struct message, attributes);

	for (size_t at = 0; at + sizeof(struct rtattr) <= end;) {
		struct rtattr a;

		memcpy(&a, m->attributes + at, sizeof(a));
		if (a.rta_len < sizeof(a) || a.rta_len > end - at)
			break;
		if (a.rta_type == TCA_KIND) {
			size_t n = a.rta_len - sizeof(a);

			n = n < LBPF_QDISC_KIND ? n : LBPF_QDISC_KIND - 1;
			memcpy(kind, m->attributes + at + sizeof(a), n);
			kind[n] = '\0';
			return 0;
		}
		at += RTA_ALIGN(a.rta_len);
	}
	return EPROTO;
}

static int receive(int fd, char kind[LBPF_QDISC_KIND])
{
	struct message m;
	/* The kernel has already answered when send returns. */
	ssize_t n = recv(fd, &m, sizeof(m), MSG_DONTWAIT);

	if (n < 0)
		return errno;
	if (n >= (ssize_t)NLMSG_LENGTH(sizeof(m.error)) && m.head.nlmsg_type == NLMSG_ERROR)
		return m.error.error ? -m.error.error : EPROTO;
	if (n < (ssize_t)offsetof(struct message, attributes) || m.head.nlmsg_type != RTM_NEWQDISC)
		return EPROTO;
	return read_kind(&m, (size_t)n, kind);
}

int lbpf_qdisc_kind(int ifindex, char kind[LBPF_QDISC_KIND])
{
	struct {
		struct nlmsghdr head;
		struct tcmsg tc;
	} ask = {
		.head = { .nlmsg_len = sizeof(ask),
			  .nlmsg_type = RTM_GETQDISC,
			  /* Older kernels report an error only in this way. */
			  .nlmsg_flags = NLM_F_REQUEST | NLM_F_ECHO },
		.tc = { .tcm_family = AF_UNSPEC, .tcm_ifindex = ifindex, .tcm_parent = TC_H_CLSACT },
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), err;

	if (fd < 0)
		return errno;
	err = send(fd, &ask, sizeof(ask), 0) < 0 ? errno : receive(fd, kind);
	close(fd);
	return err;
}
