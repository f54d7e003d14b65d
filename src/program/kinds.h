/* SPDX-License-Identifier: MIT */
/* The table of program types: since when the kernel has them, and what loading a program needs. */
#ifndef LBPF_PROGRAM_KINDS_H
#define LBPF_PROGRAM_KINDS_H

#include <stdint.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

#define LBPF_PROG_TYPE_NETFILTER 32 /* kernel 6.4, libbpf 1.3 */

struct lbpf_progkind {
	const char *since; /* the kernel that brought it */
	const char *needs; /* the capabilities that loading one needs; NULL: CAP_BPF */
	/* Attach type and flags that the kernel requires for loading a program of the type. */
	uint32_t attach, flags;
};

/* The row of a program type; NULL for an unknown one. */
const struct lbpf_progkind *lbpf_progkind_of(uint32_t type);

/* The capabilities that loading a program of this type needs, as a text for lbpf_refused. */
const char *lbpf_progkind_needs(uint32_t type);

/* The kernel's name for a type of program in lower case, or NULL. */
const char *lbpf_program_type_name(uint32_t type);

LBPF_HIDDEN_END

#endif
