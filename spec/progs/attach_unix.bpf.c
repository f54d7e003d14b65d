// SPDX-License-Identifier: MIT
// A cgroup's programs of Unix sockets: sections that libbpf knows since 1.3.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__u64 seen;

#define ON_UNIX(hook, answer)                    \
	SEC("cgroup/" #hook)                     \
	int on_##hook(struct bpf_sock_addr *ctx) \
	{                                        \
		__sync_fetch_and_add(&seen, 1);  \
		return (answer);                 \
	}

ON_UNIX(connect_unix, 0)
ON_UNIX(sendmsg_unix, 0)
ON_UNIX(recvmsg_unix, 1)
ON_UNIX(getpeername_unix, 1)
ON_UNIX(getsockname_unix, 1)

char LICENSE[] SEC("license") = "GPL";
