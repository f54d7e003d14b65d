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

# The Debian packages that building, testing and the rest need. Keep the README's list the same.
BUILD_PKGS    := make gcc libc6-dev pkg-config lua5.4 liblua5.4-dev libbpf-dev
DEMO_PKGS     := $(BUILD_PKGS) clang
EXAMPLE_PKGS  := $(DEMO_PKGS) bpftool iproute2 lua-socket lighttpd lighttpd-modules-lua curl systemtap-sdt-dev
TEST_PKGS     := $(EXAMPLE_PKGS) g++ lua-busted lua-luv lua-cqueues luarocks lua-dkjson perl prometheus cmark-gfm rlwrap locales
HTML_PKGS     := cmark-gfm perl
RECORD_PKGS   := $(DEMO_PKGS) termtosvg
LINT_PKGS     := $(DEMO_PKGS) clang-format clang-tidy lua-check
ASAN_PKGS     := $(TEST_PKGS) dpkg-dev
VALGRIND_PKGS := $(TEST_PKGS) valgrind libc6-dbg
FUZZ_PKGS     := $(DEMO_PKGS) libclang-rt-dev
SID_PKGS      := mmdebstrap
VM_PKGS       := $(TEST_PKGS) qemu-system-x86 busybox-static cpio kmod xz-utils
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
WARNINGS   := -Wall -Wextra -Wshadow -Wundef -Wwrite-strings -Wcast-qual -Wpointer-arith -Wstrict-prototypes \
	-Wmissing-prototypes -Wold-style-definition -Wredundant-decls -Wvla -Wformat=2 -Wconversion \
	-Wsign-conversion -Wnull-dereference $(if $(WERROR),-Werror)
C_FLAGS     = -std=gnu11 -iquote src $(WARNINGS) $(HARDEN) $(LUA_CFLAGS) $(BPF_CFLAGS) $(CPPFLAGS) $(CFLAGS)
BPF_FLAGS  := -target bpf -g -O2 -Wall -D__TARGET_ARCH_$(shell uname -m | sed 's/x86_64/x86/; s/aarch64/arm64/') \
	-idirafter /usr/include/$(shell uname -m)-linux-gnu

BUILD    := build/$(VARIANT)
MODULE   := $(BUILD)/bpf/core.so
LIBRARY  := $(BUILD)/liblbpf.a
LUA_MODULES := $(wildcard lua/bpf/*.lua lua/bpf/*/*.lua)
HOST_MODULES := $(filter-out lua/bpf/command/%,$(LUA_MODULES))
OBJS     := $(patsubst src/%.c,$(BUILD)/%.o,$(wildcard src/*/*.c))
PROGS    := $(patsubst spec/progs/%.c,build/progs/%.o,$(wildcard spec/progs/*.bpf.c))
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
.PHONY: all demo test check suite built lint asan tsan valgrind oom reentry vmtest sidtest fuzz bench examples doc html recordings format install uninstall dist rock clean deps help root

##@ Building
all: $(MODULE) $(LIBRARY) ## Build the module and the static library (the default)

$(MODULE): $(OBJS)
	@mkdir -p $(@D)
	$(call run,LD )$(CC) -shared -Wl,-z,relro,-z,now $(LDFLAGS) -o $@ $^ $(BPF_LIBS)

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

-include $(OBJS:.o=.d) $(PROGS:.o=.d) $(SUPPORT:=.d) $(HOSTS:=.d)

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
suite:
	$(build) built
	@$(if $(LBPF_UNPRIVILEGED),,build-aux/sandbox --net) $(PROVE) -e "$(TAP)timeout --foreground -s KILL $(SPEC_SECONDS) $(RUN_LUA) $$(command -v busted) -o TAP" $(SPECS)

built: all $(PROGS) $(SUPPORT) $(HOSTS) $(EXAMPLES)
	@:

# The installation is the release's business; the other suites need not repeat it.
NOT_BUILD = $(filter-out spec/tree/build_spec.lua spec/tree/install_spec.lua,$(SPECS))

# A Lua that checks how it is used, for the interpreter, what it starts and programs in C. It is not instrumented, so the
# loader puts ASan in front of it: unlike LD_PRELOAD, children don't inherit that. It keeps its name, by which scripts
# may start it again.
APICHECK    := $(CURDIR)/build/lua-apicheck
SANITIZE    := -fsanitize=address,undefined -fno-sanitize-recover=all
ASAN_LUA     = $(shell ldd $$(command -v $(LUA)) | awk '$$1 ~ "/ld" { print $$1 }') \
	--preload $(shell gcc -print-file-name=libasan.so) --argv0 $(LUA) $(APICHECK)/$(LUA)
# Lua unloads the module before leaks are reported; nodelete keeps the names of its functions.
# Thread-local storage made by dlopen confuses the leak check where it happens to lie 16 bytes into a page.
asan_build   = VARIANT=asan CC=gcc CFLAGS='-g -O1 -fno-omit-frame-pointer -ftls-model=initial-exec $(SANITIZE)' HARDEN= \
	LDFLAGS='$(SANITIZE) -Wl,-z,nodelete'
asan oom reentry: export PATH := $(APICHECK):$(PATH)
asan oom reentry: export PKG_CONFIG_PATH := $(APICHECK):$(PKG_CONFIG_PATH)
asan oom reentry: export ASAN_OPTIONS := detect_leaks=1:detect_stack_use_after_return=1
asan oom reentry: export LSAN_OPTIONS := suppressions=$(CURDIR)/spec/support/lsan.supp:print_suppressions=0

asan: ## Run the tests under AddressSanitizer, UBSan and leak detection, by a Lua that checks how C uses it
	$(call need,$(ASAN_PKGS))
	@build-aux/apicheck $(LUA)
	@$(MAKE) --no-print-directory root
	@$(MAKE) --no-print-directory $(asan_build) SPEC='$(NOT_BUILD)' RUN_LUA='$(ASAN_LUA)' suite

oom: ## Fail each memory allocation of Lua's in turn, under AddressSanitizer
	$(call need,$(ASAN_PKGS))
	@build-aux/apicheck $(LUA)
	$(build) root $(PROGS)
	$(build) $(asan_build) all build/asan/oom
	@LUA_CPATH='$(CURDIR)/build/asan/?.so;;' build-aux/sandbox $(PROVE) -e build/asan/oom spec/support/oom.lua

build/asan/oom: spec/support/host.c
	$(call run,CC )$(CC) $(C_FLAGS) -o $@ $< $(shell $(PKG_CONFIG) --libs $(LUA_PC))

# Each operation within each allocation of each other one, and random ones, for which SEEDS="7" repeats one run.
SEEDS ?= 1 2 3 4 5 6 7 8

reentry: ## Run operations in finalizers within every allocation of others, under AddressSanitizer
	$(call need,$(ASAN_PKGS))
	@build-aux/apicheck $(LUA)
	$(build) root $(PROGS) build/support/splitbtf build/support/probed
	$(build) $(asan_build) all
	@set -e; export LUA_CPATH='$(CURDIR)/build/asan/?.so;;'; run() { timeout --foreground -s KILL $(SPEC_SECONDS) build-aux/sandbox unshare --net $(ASAN_LUA) "$$@"; }; \
		run spec/support/reentry/systematic.lua || { cat build/reentry-at; exit 1; }; \
		for seed in $(SEEDS); do run spec/support/reentry/random.lua $$seed; done

tsan: ## Run eight Lua states in as many threads, under ThreadSanitizer
	$(call need,$(TEST_PKGS))
	@$(MAKE) --no-print-directory root
	$(build) VARIANT=tsan CC=gcc CFLAGS='-g -O1 -fsanitize=thread' HARDEN= \
		LDFLAGS='-fsanitize=thread' build/tsan/hosts/threads $(addprefix build/progs/,events.bpf.o refused.bpf.o)
	build-aux/sandbox setarch -R build/tsan/hosts/threads 10

valgrind: ## Run the tests under valgrind
	$(call need,$(VALGRIND_PKGS))
	@$(MAKE) --no-print-directory root
	@$(MAKE) --no-print-directory SPEC='$(NOT_BUILD)' RUN_LUA='valgrind -q --error-exitcode=9 --leak-check=full \
		--keep-debuginfo=yes --suppressions=spec/support/valgrind.supp $(LUA)' suite

# Objects are compiled here, not in the guest. `make test` before it adds this machine's kernel to the table.
KERNEL ?= 5.10 6.1 6.12 sid

vmtest: ## Run the tests on Debian's kernels in qemu: KERNEL="5.10 6.1 6.12 sid", or one of them
	$(call need,$(VM_PKGS))
	$(build) root built
	@build-aux/vmtest --kernels '$(KERNEL)' $(SPECS)

# In a root of its own, so the packages are those to install there. The table of vmtest gets a column for each Lua.
sidtest: ## Run the tests with the libraries of Debian sid, on this kernel: Lua 5.5 and newest libbpf and clang; some with 5.4
	$(call need,$(SID_PKGS))
	@PACKAGES='$(TEST_PKGS) lua5.5 liblua5.5-dev' build-aux/sidtest $(SPEC)

# What reads files and knows nothing of Lua, each with its fuzz/<name>_fuzz.c and seeds in fuzz/corpus/<name>. Inputs
# that were found stay in build/fuzz/<name>; one that fails is written to build/fuzz/<name>-crash-…
FUZZ_SECONDS ?= 60
FUZZERS      := $(patsubst fuzz/%_fuzz.c,%,$(wildcard fuzz/*_fuzz.c))

fuzz: ## Feed damaged objects to what reads them, FUZZ_SECONDS=60 each
	$(call need,$(FUZZ_PKGS))
	$(build) $(addprefix build/fuzz/,$(addsuffix _fuzz,$(FUZZERS)))
	@set -e; for name in $(FUZZERS); do mkdir -p build/fuzz/$$name; \
		build/fuzz/$${name}_fuzz -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 \
			-artifact_prefix=build/fuzz/$$name- build/fuzz/$$name fuzz/corpus/$$name; done

build/fuzz/legacy_fuzz: $(wildcard src/object/legacy*.c) src/btf/elf.c src/btf/check.c
build/fuzz/elfsym_fuzz: src/btf/elfsym.c src/btf/elf.c
build/fuzz/%_fuzz: fuzz/%_fuzz.c $(wildcard src/*/*.h fuzz/*.h)
	@mkdir -p $(@D)
	$(call run,CC )$(CLANG) $(C_FLAGS) -O1 -g -fno-omit-frame-pointer \
		-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -U_FORTIFY_SOURCE -o $@ $(filter %.c,$^) $(BPF_LIBS)

root:
	@[ "$$(id -u)" = 0 ] || { echo "This loads programs into the kernel, so it needs root; 'make check' doesn't." >&2; exit 1; }

##@ Checking the source
C_FILES   := $(wildcard src/*/*.[ch] spec/progs/*.[ch] spec/support/*.c spec/support/lua/*.c spec/hosts/*.c examples/*/*.c bench/*.c fuzz/*.c)
LUA_FILES := $(wildcard bin/lua-bpf lua spec examples bench build-aux/*.lua .luacheckrc .busted)

reference := $(LUA) build-aux/reference.lua src/*/*.c $(LUA_MODULES)

lint: ## Warnings of gcc and clang, static analysis, clang-tidy, luacheck, formatting, include graph, reference, version
	$(call need,$(LINT_PKGS))
	$(build) VARIANT=lint-gcc CC=gcc WERROR=1 all
	$(build) VARIANT=lint-clang CC=clang WERROR=1 all
	$(build) VARIANT=lint-analyzer CC=gcc WERROR=1 CFLAGS='-O1 -fanalyzer' all
	gcc -iquote src/host $(C_FLAGS) -Werror -fsyntax-only $(wildcard spec/support/*.c spec/support/lua/*.c spec/hosts/*.c)
	printf '%s\n' src/*/*.c | xargs -P$(JOBS) -I{} clang-tidy --quiet --warnings-as-errors='*' {} -- -std=gnu11 -iquote src $(LUA_CFLAGS) $(BPF_CFLAGS)
	luacheck --quiet --no-color $(LUA_FILES)
	clang-format --dry-run -Werror $(C_FILES)
	$(LUA) build-aux/includes.lua src/*/*.[ch]
	@$(reference) | diff docs/reference.md - || { echo "docs/reference.md isn't what the sources give: make doc" >&2; exit 1; }
	@! grep -nF '$(VERSION)' $$(ls -d Makefile bin/* src/*/* lua/bpf/*.lua lua/bpf/*/* rockspec/*) | grep -v '^src/host/lbpf.h:' || \
		{ echo 'The version stands in src/host/lbpf.h only.' >&2; exit 1; }

doc: ## Generate docs/reference.md
	@mkdir -p build
	$(reference) >build/reference.md
	mv build/reference.md docs/reference.md

html: ## Make build/html of docs/*.md
	$(call need,$(HTML_PKGS))
	build-aux/html build/html docs/*.md

# Something to see beside the demo: many small writes, and programs that come and go.
RECORD_LOAD := (dd if=/dev/zero of=/dev/null bs=1 count=9999999 status=none & \
	for i in 1 2 3 4 5 6; do find /usr/share >/dev/null; wc -c /etc/hosts >/dev/null; sleep 0.5; done; kill $$!) &

recordings: ## Record docs/demo.svg and docs/prompt.svg, as root
	$(call need,$(RECORD_PKGS))
	@$(MAKE) --no-print-directory root all $(filter examples/syscount/%,$(EXAMPLES))
	build-aux/recording docs/demo.svg 80 24 'sh -c "$(RECORD_LOAD) exec build-aux/sandbox $(LUA) examples/syscount/main.lua -n 4"'
	build-aux/recording docs/prompt.svg 92 24 'build-aux/sandbox $(LUA) bin/lua-bpf repl' docs/prompt.keys

format: ## Format the C sources
	clang-format -i $(C_FILES)

##@ Packaging
PC_VALUES = $(foreach name,PREFIX LUA_PC VERSION,-e 's|@$(name)@|$($(name))|') \
	$(foreach name,LIBDIR INCDIR LUA_CDIR LUA_LDIR,-e 's|@$(name)@|$($(name):$(PREFIX)/%=$${prefix}/%)|')

# The folders below bpf/ that our Lua modules are in.
LUA_DIRS = $(patsubst lua/%/,'$(DESTDIR)$(LUA_LDIR)/%',$(filter-out lua/bpf/,$(sort $(dir $(LUA_MODULES)))))

install: all ## Install under PREFIX, below DESTDIR if given
	install -d '$(DESTDIR)$(LUA_CDIR)/bpf' $(LUA_DIRS) \
		'$(DESTDIR)$(INCDIR)' '$(DESTDIR)$(PC_DIR)' '$(DESTDIR)$(BINDIR)' '$(DESTDIR)$(MANDIR)/man1'
	install -m 755 $(MODULE) '$(DESTDIR)$(LUA_CDIR)/bpf/core.so'
	set -e; for file in $(LUA_MODULES:lua/%=%); do install -m 644 "lua/$$file" '$(DESTDIR)$(LUA_LDIR)'"/$$file"; done
	install -m 644 src/host/lbpf.h '$(DESTDIR)$(INCDIR)/lbpf.h'
	install -m 644 $(LIBRARY) '$(DESTDIR)$(LIBDIR)/liblbpf.a'
	sed $(PC_VALUES) build-aux/lua-bpf.pc.in >'$(DESTDIR)$(PC_DIR)/lua-bpf.pc'
	chmod 644 '$(DESTDIR)$(PC_DIR)/lua-bpf.pc'
	sed '1s|lua5.4|$(LUA)|' bin/lua-bpf >'$(DESTDIR)$(BINDIR)/lua-bpf'
	chmod 755 '$(DESTDIR)$(BINDIR)/lua-bpf'
	install -m 644 docs/lua-bpf.1 '$(DESTDIR)$(MANDIR)/man1/lua-bpf.1'

uninstall: ## Remove what install put there
	rm -f '$(DESTDIR)$(LUA_CDIR)/bpf/core.so' $(patsubst lua/%,'$(DESTDIR)$(LUA_LDIR)/%',$(LUA_MODULES)) \
		'$(DESTDIR)$(INCDIR)/lbpf.h' '$(DESTDIR)$(LIBDIR)/liblbpf.a' '$(DESTDIR)$(PC_DIR)/lua-bpf.pc' \
		'$(DESTDIR)$(BINDIR)/lua-bpf' '$(DESTDIR)$(MANDIR)/man1/lua-bpf.1'
	@for dir in $(LUA_DIRS) '$(DESTDIR)$(LUA_CDIR)/bpf' '$(DESTDIR)$(LUA_LDIR)/bpf'; do [ ! -d "$$dir" ] || rmdir --ignore-fail-on-non-empty "$$dir"; done

dist: ## Make a tarball of the committed tree
	@mkdir -p build
	git archive --prefix=lua-bpf-$(VERSION)/ -o build/lua-bpf-$(VERSION).tar.gz HEAD

# What `luarocks pack` would make, but that it wants the tarball's place in this machine's file system.
rock: dist ## Make a source rock of the committed tree
	@sed 's|"scm-1"|"$(VERSION)-1"|; s|"git+file://.".*|"file://lua-bpf-$(VERSION).tar.gz",|' rockspec/lua-bpf-scm-1.rockspec \
		>build/lua-bpf-$(VERSION)-1.rockspec
	@cd build && rm -f lua-bpf-$(VERSION)-1.src.rock && zip -q lua-bpf-$(VERSION)-1.src.rock \
		lua-bpf-$(VERSION)-1.rockspec lua-bpf-$(VERSION).tar.gz

clean: ## Remove everything that was built
	rm -rf build $(wildcard examples/*/*.o)

deps: ## Install the Debian packages that all of these need
	$(call need,$(sort $(TEST_PKGS) $(ASAN_PKGS) $(LINT_PKGS) $(FUZZ_PKGS) $(VM_PKGS) $(SID_PKGS)))

help: ## Show this list
	@awk -F ':.*## ' '/^##@/ { print "\n" substr($$0, 5) } /^[a-z]+:.*## / { printf "  %-11s%s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
