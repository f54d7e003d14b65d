# SPDX-License-Identifier: MIT
# The only entry to building, testing and installing lua-bpf; `make help` lists the targets.

# What to build with. Any of these may be given on the command line.
LUA_V      ?= 5.4
LUA        ?= lua$(LUA_V)
LUA_PC     ?= lua$(LUA_V)
CLANG      ?= clang
PKG_CONFIG ?= pkg-config
OBJCOPY    ?= objcopy
CFLAGS     ?= -O2 -g
HARDEN     ?= -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong
VARIANT    ?= release
JOBS       ?= $(shell nproc)

# Where to install.
PREFIX     ?= /usr/local
LUA_CDIR   ?= $(PREFIX)/lib/lua/$(LUA_ABI)
LUA_LDIR   ?= $(PREFIX)/share/lua/$(LUA_ABI)
INCDIR     ?= $(PREFIX)/include
LIBDIR     ?= $(PREFIX)/lib
PC_DIR     ?= $(LIBDIR)/pkgconfig
BINDIR     ?= $(PREFIX)/bin
MANDIR     ?= $(PREFIX)/share/man
BASHDIR    ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR     ?= $(PREFIX)/share/zsh/site-functions
DOCDIR     ?= $(PREFIX)/share/doc/lua-bpf
TYPESDIR   ?= $(PREFIX)/share/lua-bpf/types

include build-aux/packages.mk
need = @build-aux/deps $(1)

# Builds use all cores; what runs tests is started without make's own jobs, of which programs below it would hear.
build = @$(MAKE) --no-print-directory -j$(JOBS)

# V=1 shows the commands.
run = $(if $(V),,@echo '  $(1)  $@'; )

# What LUA_PC is, as in the names of folders.
LUA_ABI     = $(or $(shell $(PKG_CONFIG) --modversion $(LUA_PC) 2>/dev/null | cut -d. -f1,2),$(LUA_V))

# LUA_INCDIR names the folder of lua.h where pkg-config doesn't know it.
LUA_CFLAGS := $(if $(LUA_INCDIR),-I$(LUA_INCDIR),$(shell $(PKG_CONFIG) --cflags $(LUA_PC) 2>/dev/null))
BPF_CFLAGS := $(shell $(PKG_CONFIG) --cflags libbpf 2>/dev/null)
BPF_LIBS   := $(or $(shell $(PKG_CONFIG) --libs libbpf 2>/dev/null),-lbpf)
DWFL_LIBS  := $(shell $(PKG_CONFIG) --libs libdw 2>/dev/null)
WARNINGS   := -Wall -Wextra -Wshadow -Wundef -Wwrite-strings -Wcast-qual -Wpointer-arith -Wstrict-prototypes \
	-Wmissing-prototypes -Wold-style-definition -Wredundant-decls -Wvla -Wformat=2 -Wconversion \
	-Wsign-conversion -Wnull-dereference $(if $(WERROR),-Werror)
C_FLAGS     = -std=gnu11 -iquote src $(WARNINGS) $(HARDEN) $(LUA_CFLAGS) $(BPF_CFLAGS) $(CPPFLAGS) $(CFLAGS)
BPF_FLAGS  := -target bpf -mcpu=v3 -g -O2 -Wall -D__TARGET_ARCH_$(shell uname -m | sed 's/x86_64/x86/; s/aarch64/arm64/') \
	-idirafter /usr/include/$(shell uname -m)-linux-gnu

BUILD    := build/$(VARIANT)
MODULE   := $(BUILD)/bpf/core.so
DWFL     := $(if $(DWFL_LIBS),$(BUILD)/bpf/dwfl.so)
LIBRARY  := $(BUILD)/liblbpf.a
LUA_MODULES := $(wildcard lua/bpf/*.lua lua/bpf/*/*.lua lua/bpf/*/*/*.lua)
HOST_MODULES := $(filter-out lua/bpf/command/%,$(LUA_MODULES))
OBJS     := $(patsubst src/%.c,$(BUILD)/%.o,$(wildcard src/*/*.c))
DWFL_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard dwfl/*.c))
PROGS    := $(patsubst spec/progs/%.c,build/progs/%.o,$(wildcard spec/progs/*.bpf.c))
ASSEMBLED := $(if $(filter release,$(VARIANT)),build/progs/assembled.o)
SUPPORT  := $(patsubst spec/support/%.c,build/support/%,$(wildcard spec/support/*.c)) \
	$(patsubst spec/support/lua/%.c,build/support/%.so,$(wildcard spec/support/lua/*.c))
HOSTS    := $(patsubst spec/hosts/%.c,$(BUILD)/hosts/%,$(wildcard spec/hosts/*.c))
EXAMPLES := $(patsubst %.c,%.o,$(wildcard examples/*/*.bpf.c)) $(BUILD)/policyd
BENCH    := $(patsubst bench/%.c,build/bench/%,$(filter-out %.bpf.c,$(wildcard bench/*.c))) \
	$(patsubst bench/%.c,build/bench/%.o,$(wildcard bench/*.bpf.c)) build/bench/floor.so
VERSION  := $(shell sed -n 's/^\#define LBPF_VERSION_M[AI][JN]OR \(.*\)/\1./p; s/^\#define LBPF_VERSION_PATCH //p' src/host/lbpf.h | tr -d '\n')

# How tests and examples find the tree's own modules, whatever the caller's environment says.
export LUA_PATH  := $(CURDIR)/lua/?.lua;$(CURDIR)/lua/?/init.lua;;
export LUA_CPATH := $(CURDIR)/$(BUILD)/?.so;;
unexport LUA_INIT $(foreach v,5_4 5_5,LUA_INIT_$(v) LUA_PATH_$(v) LUA_CPATH_$(v))

.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all demo test check suite built lint asan tsan valgrind oom reentry vmtest sidtest fuzz bench bench-tools examples doc html recordings format install uninstall dist rock clean deps help root

##@ Building
all: $(MODULE) $(DWFL) $(LIBRARY) ## Build the module and the static library (the default), and bpf.dwfl where libdw is

$(MODULE): $(OBJS)
	@mkdir -p $(@D)
	$(call run,LD )$(CC) -shared -Wl,-z,relro,-z,now $(LDFLAGS) -o $@ $^ $(BPF_LIBS)

$(BUILD)/bpf/dwfl.so: $(DWFL_OBJS)
	@mkdir -p $(@D)
	$(call run,LD )$(CC) -shared -Wl,-z,relro,-z,now $(LDFLAGS) -o $@ $^ $(DWFL_LIBS) -ldl -lpthread

# One object, of which only what lbpf.h declares is to be seen: a host's own names can't clash with ours.
$(LIBRARY): $(OBJS) $(BUILD)/luafiles.o
	$(call run,AR )$(CC) -r -nostdlib -o $(@:.a=.o) $^ && $(OBJCOPY) --localize-hidden $(@:.a=.o) && \
		rm -f $@ && $(AR) rcsD $@ $(@:.a=.o)

$(BUILD)/luafiles.c: build-aux/luafiles.lua $(HOST_MODULES)
	@mkdir -p $(@D)
	$(call run,LUA)$(LUA) build-aux/luafiles.lua $(filter lua/%,$^) >$@

$(BUILD)/luafiles.o: $(BUILD)/luafiles.c src/host/luafiles.h
	$(call run,CC )$(CC) -fPIC $(C_FLAGS) -c -o $@ $<

$(BUILD)/%.o: src/%.c
	@mkdir -p $(@D)
	$(call run,CC )$(CC) -fPIC -fno-plt -fvisibility=hidden -MMD -MP $(C_FLAGS) -c -o $@ $<

$(BUILD)/dwfl/%.o: dwfl/%.c
	@mkdir -p $(@D)
	$(call run,CC )$(CC) -fPIC -fno-plt -fvisibility=hidden -MMD -MP $(C_FLAGS) -c -o $@ $<

build/support/%: spec/support/%.c
	@mkdir -p $(@D)
	$(call run,CC )$(CC) -MMD -MP -MF $@.d $(filter-out $(SANITIZE),$(C_FLAGS)) -o $@ $< -Wl,--as-needed $(shell $(PKG_CONFIG) --libs $(LUA_PC)) $(BPF_LIBS) -lpthread

# C hosts that specs run, with the library of the same variant.
$(BUILD)/hosts/%: spec/hosts/%.c $(LIBRARY)
	@mkdir -p $(@D)
	$(call run,CC )$(CC) -iquote src/host -MMD -MP -MF $@.d $(C_FLAGS) $(LDFLAGS) -o $@ $< $(LIBRARY) \
		$(shell $(PKG_CONFIG) --libs $(LUA_PC)) $(BPF_LIBS) -lpthread

# Lua modules that specs need: require "support.x".
build/support/%.so: spec/support/lua/%.c
	@mkdir -p $(@D)
	$(call run,CC )$(CC) -shared -fPIC -MMD -MP -MF $@.d $(filter-out $(SANITIZE),$(C_FLAGS)) -o $@ $<

build/bench/%: bench/%.c
	@mkdir -p $(@D)
	$(call run,CC )$(CC) -MMD -MP -MF $@.d $(C_FLAGS) -o $@ $< $(BPF_LIBS)

build/bench/%.so: bench/support/%.c
	@mkdir -p $(@D)
	$(call run,CC )$(CC) -shared -fPIC $(C_FLAGS) -o $@ $<

build/progs/%.bpf.o: spec/progs/%.bpf.c
	@mkdir -p $(@D)
	$(call run,BPF)$(CLANG) $(BPF_FLAGS) -MMD -MP -c -o $@ $<

# Made by our own compiler, of this machine's kernel, for every kernel that it is loaded on.
build/progs/assembled.o: spec/support/assembled.lua $(MODULE) $(LUA_MODULES)
	@mkdir -p $(@D)
	$(call run,BPF)$(LUA) -e 'require("spec.support.assembled").write("$@")'

build/bench/%.bpf.o: bench/%.bpf.c
	@mkdir -p $(@D)
	$(call run,BPF)$(CLANG) $(BPF_FLAGS) -MMD -MP -c -o $@ $<

# An example's object lies beside its main.lua.
examples/%.bpf.o: examples/%.bpf.c
	$(call run,BPF)$(CLANG) $(BPF_FLAGS) -c -o $@ $<

# The example in C, as its own Makefile has it from an installed library.
$(BUILD)/policyd: examples/embed/main.c $(BUILD)/include/policyd.skel.h $(BUILD)/include/lbpf.h $(LIBRARY)
	$(call run,CC )$(CC) -isystem $(BUILD)/include $(C_FLAGS) $(LDFLAGS) -o $@ $< $(LIBRARY) \
		$(shell $(PKG_CONFIG) --libs $(LUA_PC)) $(BPF_LIBS)

$(BUILD)/include/policyd.skel.h: examples/embed/policyd.bpf.o
	@mkdir -p $(@D)
	$(call run,SKL)bpftool gen skeleton $< name policyd >$@

$(BUILD)/include/lbpf.h: src/host/lbpf.h
	@mkdir -p $(@D)
	$(call run,CP )cp $< $@

-include $(OBJS:.o=.d) $(DWFL_OBJS:.o=.d) $(PROGS:.o=.d) $(SUPPORT:=.d) $(HOSTS:=.d)

##@ Using it
EXAMPLE ?= syscount

demo: ## Show an example at work: EXAMPLE=syscount, with ARGS="..."; installs what is missing; as root
	$(call need,$(if $(filter syscount,$(EXAMPLE)),$(DEMO_PKGS),$(EXAMPLE_PKGS)))
	@[ -f examples/$(EXAMPLE)/main.lua ] || { echo "There is no such example: $(EXAMPLE)" >&2; exit 1; }
	$(build) root all $(filter examples/$(EXAMPLE)/%,$(EXAMPLES))
	@build-aux/sandbox $(LUA) examples/$(EXAMPLE)/main.lua $(ARGS)

examples: ## Run every example, as root
	$(call need,$(EXAMPLE_PKGS))
	$(build) root all $(EXAMPLES)
	@status=0; for main in examples/*/main.lua; do echo "== $$main"; build-aux/sandbox $(LUA) $$main || status=1; done; \
		echo "== examples/embed/main.c"; \
		build-aux/sandbox timeout --preserve-status 2 $(BUILD)/policyd examples/embed/policy.lua || status=1; exit $$status

bench: ## Measure each workload beside the same loop in C, as root
	$(call need,$(DEMO_PKGS))
	$(build) root all $(BENCH)
	@set -e; for main in bench/*.lua; do echo "== $$main"; build-aux/sandbox $(LUA) $$main; done

bench-tools: ## Measure the tools of examples/ and traces beside bpftrace and libbpf-tools, as root; for some minutes
	$(call need,$(BENCH_TOOLS_PKGS))
	$(build) root all $(EXAMPLES)
	@build-aux/sandbox --net $(LUA) bench/tools/compare.lua
	@$(MAKE) --no-print-directory -s install PREFIX=$(CURDIR)/build/installed >/dev/null
	@build-aux/sandbox --net $(LUA) bench/tools/traces.lua

##@ Testing
SPECS   := $(or $(SPEC),$(wildcard spec/*/*_spec.lua))
$(foreach spec,$(SPEC),$(if $(wildcard $(spec)),,$(error There is no such spec: $(spec))))
RUN_LUA ?= $(LUA)
SPEC_SECONDS ?= 900
PROVE   := prove --timer --failures --comments --directives

test: ## Run all the tests, as root; installs what is missing; SPEC=spec/map/map_spec.lua runs one
	$(call need,$(TEST_PKGS))
	@$(MAKE) --no-print-directory TAP='build-aux/tap build/vmtest/host ' root suite

check: ## Run the tests that need no root; the others are skipped
	$(call need,$(TEST_PKGS))
	@LBPF_UNPRIVILEGED=1 $(MAKE) --no-print-directory suite

# Every spec file in a process of its own, which fails after SPEC_SECONDS; TAP is in front of its command;
# LBPF_GC=stress, generational or incremental sets the collector's mode.
suite: export LBPF_LUA := $(RUN_LUA)
suite: export LBPF_LUA_PC := $(LUA_PC)
suite: export LUA_BPF_NO_CACHE := 1
suite:
	$(build) built
	@$(if $(LBPF_UNPRIVILEGED),,build-aux/sandbox --net) $(PROVE) -e "$(TAP)timeout --foreground -s KILL $(SPEC_SECONDS) $(RUN_LUA) $$(command -v busted) -o TAP" $(SPECS)

built: all $(PROGS) $(ASSEMBLED) $(SUPPORT) $(HOSTS) $(EXAMPLES)
	@:

include build-aux/sanitize.mk build-aux/machines.mk build-aux/source.mk build-aux/install.mk

root:
	@[ "$$(id -u)" = 0 ] || { echo "This loads programs into the kernel, so it needs root; 'make check' doesn't." >&2; exit 1; }

##@ Keeping house
clean: ## Remove everything that was built
	rm -rf build $(wildcard examples/*/*.o)

deps: ## Install the Debian packages that all of these need
	$(call need,$(sort $(TEST_PKGS) $(ASAN_PKGS) $(LINT_PKGS) $(FUZZ_PKGS) $(VM_PKGS) $(SID_PKGS)))

help: ## Show this list
	@awk -F ':.*## ' '/^##@/ { print "\n" substr($$0, 5) } /^[a-z-]+:.*## / { printf "  %-15s%s\n", $$1, $$2 }' $(filter Makefile %.mk,$(MAKEFILE_LIST))
