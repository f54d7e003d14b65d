# SPDX-License-Identifier: MIT
# The Debian packages that building, testing and the rest need. Keep the README's list the same.
BUILD_PKGS    := make gcc libc6-dev pkg-config lua5.4 liblua5.4-dev libbpf-dev
DEMO_PKGS     := $(BUILD_PKGS) clang
EXAMPLE_PKGS  := $(DEMO_PKGS) bpftool iproute2 lua-argparse lua-luv lua-socket lighttpd lighttpd-modules-lua curl systemtap-sdt-dev
TEST_PKGS     := $(EXAMPLE_PKGS) libdw-dev golang-go g++ lua-busted lua-cqueues luarocks lua-dkjson perl prometheus prosody cmark-gfm rlwrap openssl e2fsprogs zsh bash-completion locales
HTML_PKGS     := cmark-gfm perl
RECORD_PKGS   := $(DEMO_PKGS) termtosvg
LINT_PKGS     := $(DEMO_PKGS) libdw-dev clang-format clang-tidy lua-check
ASAN_PKGS     := $(TEST_PKGS) dpkg-dev
VALGRIND_PKGS := $(TEST_PKGS) valgrind libc6-dbg
FUZZ_PKGS     := $(DEMO_PKGS) libclang-rt-dev
SID_PKGS      := mmdebstrap
VM_PKGS       := $(TEST_PKGS) qemu-system-x86 busybox-static cpio kmod xz-utils xfsprogs
BENCH_TOOLS_PKGS := $(EXAMPLE_PKGS) bpftrace libbpf-tools tcpdump
