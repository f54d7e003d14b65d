/* SPDX-License-Identifier: MIT */
/* What an errno alone doesn't say: which capability or file system the kernel's refusal was about. */
#ifndef LBPF_BASE_CAUSE_H
#define LBPF_BASE_CAUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lua.h>

#include "base/compat.h"

LBPF_HIDDEN_BEGIN

/* Each returns why something can't be read here, or NULL if it can: /sys, tracefs, the kernel's BTF, /proc. */
const char *lbpf_no_sys(void);
const char *lbpf_no_tracefs(void);
const char *lbpf_no_kernel_btf(void);
const char *lbpf_no_proc(void);

/* Why pinning at path failed with this errno, if there is more to say than the errno's text; otherwise NULL. */
const char *lbpf_pin_cause(const char *path, int err);

/* Returns why the file at path can't be a pin: it is a directory, or on no bpffs. NULL if it may be one. */
const char *lbpf_no_pin(const char *path);

/* The process's effective capabilities, as a set of bits by their numbers. In a user namespace: those that it has
 * there. */
uint64_t lbpf_effective(void);

/* Whether the process is in a user namespace, where creating maps and loading programs needs a BPF token. */
bool lbpf_takes_token(void);

/* Whether the process has all the capabilities that the text names. */
bool lbpf_has_capabilities(const char *capabilities);

/* Why bpf(2) returned ENOSYS. */
const char *lbpf_no_bpf(void);

/* Pushes why an operation that needs these capabilities may have failed with EPERM. The text is "CAP_A" or "CAP_A,
 * CAP_B or CAP_C". */
const char *lbpf_refused(lua_State *L, const char *capabilities);

/* Like lbpf_refused, for attaching a program of this type. Returns NULL if the process has all capabilities that it
 * needs. */
const char *lbpf_refused_attach(lua_State *L, uint32_t prog_type);

/* Pushes that the kernel refuses programs of a kind, as hardened kernels do, and why that may be. */
const char *lbpf_refused_kind(lua_State *L, const char *kind, const char *capabilities);

/* Pushes what the verifier's log says about a program that the kernel refused with this errno. Returns NULL if the
 * program was refused before it was verified. */
const char *lbpf_verifier_push(lua_State *L, const char *log, int err);

/* Pushes what libbpf's messages say about a load that failed with this errno, or returns NULL if they say nothing. */
const char *lbpf_load_cause(lua_State *L, const char *text, int err);

/* The line of the verifier's log that says what is wrong with the program. NULL if the program was refused before it
 * was verified: then the log is empty, or has statistics of 0 instructions. */
const char *lbpf_verifier_complaint(const char *log, size_t *len);

LBPF_HIDDEN_END

#endif
