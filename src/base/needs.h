/* SPDX-License-Identifier: MIT */
/* Error messages that name the missing package instead of a missing file. The file that make and luarocks compile first
 * includes this header. */
#ifndef LBPF_BASE_NEEDS_H
#define LBPF_BASE_NEEDS_H

#if !__has_include(<lua.h>)
#error "Lua's headers are missing. Debian: apt install liblua5.4-dev; Fedora: dnf install lua-devel"
#endif

#if !__has_include(<bpf/libbpf.h>) || !__has_include(<bpf/btf.h>)
#error "libbpf's headers are missing. Debian: apt install libbpf-dev; Fedora: dnf install libbpf-devel"
#endif

#endif
