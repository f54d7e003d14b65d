/* SPDX-License-Identifier: MIT */
#include "base/netlink.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/rtnetlink.h>

/* The kernel makes no message of a list longer than this. */
#define LONGEST 32768

/* How often a list that changes while it is read is read anew. */
#define TRIES 8

/* What is still to come. */
enum { MORE = -1, CHANGED = -2 };

/* Takes one message. Returns MORE, CHANGED (read the list anew), or 0 or an errno at the end of the answer. */
static int take(const struct nlmsghdr *message, struct lbpf_rows *rows)
{
	const struct nlmsgerr *error = (const void *)(message + 1);

	if (message->nlmsg_flags & NLM_F_DUMP_INTR)
		return CHANGED;
	if (message->nlmsg_type == NLMSG_DONE)
		return 0;
	if (message->nlmsg_type == NLMSG_ERROR)
		return message->nlmsg_len < NLMSG_LENGTH(sizeof(*error)) ? EPROTO : -error->error;
	if (rows->read(message, rows->count < rows->room ? (char *)rows->at + rows->count * rows->size : NULL))
		rows->count++;
	return message->nlmsg_flags & NLM_F_MULTI ? MORE : 0;
}

/* Takes the messages of one datagram. */
static int take_all(const char *from, size_t size, struct lbpf_rows *rows)
{
	int result = MORE;

	while (result == MORE && size >= sizeof(struct nlmsghdr)) {
		const struct nlmsghdr *message = (const void *)from;
		size_t step = NLMSG_ALIGN((size_t)message->nlmsg_len);

		if (message->nlmsg_len < sizeof(*message) || message->nlmsg_len > size)
			return EPROTO;
		result = take(message, rows);
		step = step < size ? step : size;
		from += step;
		size -= step;
	}
	return result;
}

static int ask_once(int fd, const struct nlmsghdr *request, struct lbpf_rows *rows)
{
	_Alignas(struct nlmsghdr) char answer[LONGEST];
	int result = MORE;

	rows->count = 0;
	if (send(fd, request, request->nlmsg_len, 0) < 0)
		return errno;
	while (result == MORE) {
		/* The kernel has already answered when send or recv returns. */
		ssize_t n = recv(fd, answer, sizeof(answer), MSG_DONTWAIT | MSG_TRUNC);

		if (n < 0)
			return errno == EAGAIN ? EPROTO : errno;
		result = (size_t)n > sizeof(answer) ? EMSGSIZE : take_all(answer, (size_t)n, rows);
	}
	return result;
}

int lbpf_netlink_ask(const struct nlmsghdr *request, struct lbpf_rows *rows)
{
	int result = CHANGED;

	for (int i = 0; result == CHANGED && i < TRIES; i++) {
		/* a socket for each try: the old one still has the rest of the list in it */
		int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

		if (fd < 0)
			return errno;
		result = ask_once(fd, request, rows);
		close(fd);
	}
	return result == CHANGED ? EAGAIN : result;
}

struct lbpf_attributes lbpf_netlink_attributes(const struct nlmsghdr *message, size_t fixed)
{
	size_t head = NLMSG_LENGTH(NLMSG_ALIGN(fixed));

	if (message->nlmsg_len < head)
		return (struct lbpf_attributes){ NULL, 0 };
	return (struct lbpf_attributes){ (const char *)message + head, message->nlmsg_len - head };
}

struct lbpf_attributes lbpf_netlink_find(struct lbpf_attributes in, uint16_t type)
{
	while (in.size >= sizeof(struct rtattr)) {
		struct rtattr a;
		size_t step;

		memcpy(&a, in.at, sizeof(a));
		if (a.rta_len < sizeof(a) || a.rta_len > in.size)
			break;
		if ((a.rta_type & NLA_TYPE_MASK) == type)
			return (struct lbpf_attributes){ in.at + sizeof(a), a.rta_len - sizeof(a) };
		step = RTA_ALIGN((size_t)a.rta_len);
		step = step < in.size ? step : in.size;
		in.at += step;
		in.size -= step;
	}
	return (struct lbpf_attributes){ NULL, 0 };
}

uint32_t lbpf_netlink_u32(struct lbpf_attributes in, uint16_t type)
{
	struct lbpf_attributes found = lbpf_netlink_find(in, type);
	uint32_t value = 0;

	if (found.at && found.size >= sizeof(value))
		memcpy(&value, found.at, sizeof(value));
	return value;
}

void lbpf_netlink_text(struct lbpf_attributes in, uint16_t type, char *out, size_t size)
{
	struct lbpf_attributes found = lbpf_netlink_find(in, type);
	size_t n = found.size < size ? found.size : size - 1;

	if (found.at)
		memcpy(out, found.at, n);
	out[found.at ? n : 0] = '\0';
}
