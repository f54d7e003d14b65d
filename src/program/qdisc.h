/* SPDX-License-Identifier: MIT */
/* Which queueing discipline a network interface has where tc programs are attached. No Lua here. */
#ifndef LBPF_PROGRAM_QDISC_H
#define LBPF_PROGRAM_QDISC_H

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

enum { LBPF_QDISC_KIND = 16 }; /* the kernel's IFNAMSIZ, which limits these names */

/* The kind of the one that clsact and ingress share a place for: "clsact" or "ingress". Returns 0 or an errno; ENOENT
 * if there is none. */
int lbpf_qdisc_kind(int ifindex, char kind[LBPF_QDISC_KIND]);

LBPF_HIDDEN_END

#endif
