/* SPDX-License-Identifier: MIT */
/* One table: the types of programs, since when the kernel has them, and what loading one takes. */
#ifndef LBPF_PROGRAM_KINDS_H
#define LBPF_PROGRAM_KINDS_H

#include <stdint.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

#define LBPF_PROG_TYPE_NETFILTER 32 /* kernel 6.4, libbpf 1.3 */

struct lbpf_progkind {
	const char *since;	/* the kernel that brought it */
	const char *needs;	/* which capabilities loading it takes; NULL: CAP_BPF */
	uint32_t attach, flags; /* without which the kernel loads no program of the type */
};

/* The row of a type of programs; NULL for one that we don't know. */
const struct lbpf_progkind *lbpf_progkind_of(uint32_t type);

/* The capabilities that loading a program of a type takes, as text for lbpf_refused. */
const char *lbpf_progkind_needs(uint32_t type);

/* The kernel's name for a type of program in lower case, or NULL. */
const char *lbpf_program_type_name(uint32_t type);

LBPF_HIDDEN_END

#endif
