/* SPDX-License-Identifier: MIT */
/* Which queueing discipline an interface has in the place where tc programs are attached. Doesn't use Lua. */
#ifndef LBPF_PROGRAM_QDISC_H
#define LBPF_PROGRAM_QDISC_H

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

enum { LBPF_QDISC_KIND = 16 }; /* the kernel's IFNAMSIZ, which limits these names */

/* The kind of queueing discipline in the place that clsact and ingress share: "clsact" or "ingress". Returns 0 or an
 * errno; ENOENT if there is none. */
int lbpf_qdisc_kind(int ifindex, char kind[LBPF_QDISC_KIND]);

LBPF_HIDDEN_END

#endif
