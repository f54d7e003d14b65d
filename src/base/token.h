/* SPDX-License-Identifier: MIT */
/* BPF tokens: a bpffs can delegate the right to create maps and load programs to a user namespace. */
#ifndef LBPF_BASE_TOKEN_H
#define LBPF_BASE_TOKEN_H

#include <stdint.h>

#include <bpf/bpf.h>

#include "base/class.h"
#include "base/compat.h"

LBPF_HIDDEN_BEGIN

extern const struct lbpf_class lbpf_token_class;

/* Creates a token from the bpffs at path. Returns 0, or an errno with the reason in words, or nil, at the top of the
 * stack. */
int lbpf_token_make(lua_State *L, const char *path, int *fd);

/* Raises if the token is closed. */
void lbpf_token_check_open(lua_State *L, const struct lbpf_holder *token);

/* bpf_btf_load and bpf_map_create with an open token. Each returns a descriptor, or an errno as a negative number. */
int lbpf_token_load_btf(const struct lbpf_holder *token, const void *data, uint32_t size);
int lbpf_token_create_map(const struct lbpf_holder *token, uint32_t type, const char *name, uint32_t key_size,
			  uint32_t value_size, uint32_t max_entries, const struct bpf_map_create_opts *opts);

/* Opener. */
LBPF_OPENER lbpf_token_open(lua_State *L);

LBPF_HIDDEN_END

#endif
