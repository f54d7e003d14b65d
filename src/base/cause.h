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

/* Each says why something can't be read here, or NULL where it can: /sys, tracefs, the kernel's BTF, /proc. */
const char *lbpf_no_sys(void);
const char *lbpf_no_tracefs(void);
const char *lbpf_no_kernel_btf(void);
const char *lbpf_no_proc(void);

/* Why nothing could be pinned at path, where that is more than the errno's text; or NULL. */
const char *lbpf_pin_cause(const char *path, int err);

/* Says that what is at path can be no pin, or NULL. */
const char *lbpf_no_pin(const char *path);

/* The process's effective capabilities, by their numbers; in a user namespace, those that it has there. */
uint64_t lbpf_effective(void);

/* Whether it is in a user namespace, where making maps and loading programs takes a BPF token. */
bool lbpf_takes_token(void);

/* Whether the process has all the capabilities that the text names. */
bool lbpf_has_capabilities(const char *capabilities);

/* What ENOSYS of bpf(2) means. */
const char *lbpf_no_bpf(void);

/* Pushes what an EPERM may mean, where it takes these capabilities: "CAP_A", "CAP_A, CAP_B or CAP_C". */
const char *lbpf_refused(lua_State *L, const char *capabilities);

/* Pushes the same for attaching a program of this type; returns NULL where this process lacks nothing for it. */
const char *lbpf_refused_attach(lua_State *L, uint32_t prog_type);

/* Pushes that the kernel takes no programs of a kind, as hardened kernels do, and why that may be. */
const char *lbpf_refused_kind(lua_State *L, const char *kind, const char *capabilities);

/* Pushes what the verifier's log says of a program that the kernel refused with this errno, or returns NULL where it
 * was refused before it was verified. */
const char *lbpf_verifier_push(lua_State *L, const char *log, int err);

/* Pushes what libbpf's messages say about a load that failed with this errno, or returns NULL if nothing. */
const char *lbpf_load_cause(lua_State *L, const char *text, int err);

/* The line of the verifier's log that says what is wrong with the program; NULL where the program was refused before
 * it was verified: then the log is empty, or has statistics of no instruction. */
const char *lbpf_verifier_complaint(const char *log, size_t *len);

LBPF_HIDDEN_END

#endif
