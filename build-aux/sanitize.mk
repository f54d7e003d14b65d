# SPDX-License-Identifier: MIT
# The tests under sanitizers, with failing memory and finalizers in between; fuzzing.

##@ Testing harder
# The installation is the release's business, and what clang does clang's; the other suites need not repeat it.
NOT_BUILD = $(filter-out spec/tree/build_spec.lua spec/tree/install_spec.lua spec/lua/compile_spec.lua \
	spec/lua/compile_cache_spec.lua,$(SPECS))

# A Lua that checks how it is used, for the interpreter, what it starts and programs in C. It is not instrumented, so the
# loader puts ASan in front of it: unlike LD_PRELOAD, children don't inherit that. It keeps its name, by which scripts
# may start it again. ASan has the name that the module asks for: with another one the loader leaks a few bytes, and each
# process takes a fifth of a second to find out whose they are.
APICHECK    := $(CURDIR)/build/lua-apicheck
SANITIZE    := -fsanitize=address,undefined -fno-sanitize-recover=all
ASAN_LUA     = $(shell ldd $$(command -v $(LUA)) | awk '$$1 ~ "/ld" { print $$1 }') \
	--preload $(shell objdump -p $$(gcc -print-file-name=libasan.so) | awk '$$1 == "SONAME" { print $$2 }') --argv0 $(LUA) $(APICHECK)/$(LUA)
# Lua unloads the module before leaks are reported; nodelete keeps the names of its functions.
# The leak check believes that thread-local storage which dlopen made has a header in front where it happens to lie 16
# bytes into a page, and reads where that points to: so it is not told of such storage (intercept_tls_get_addr). The
# module's own is not made by dlopen, libelf's and libdw's holds numbers.
asan_build   = VARIANT=asan CC=gcc CFLAGS='-g -O1 -fno-omit-frame-pointer -ftls-model=initial-exec $(SANITIZE)' HARDEN= \
	LDFLAGS='$(SANITIZE) -Wl,-z,nodelete'
asan oom reentry: export PATH := $(APICHECK):$(PATH)
asan oom reentry: export PKG_CONFIG_PATH := $(APICHECK):$(PKG_CONFIG_PATH)
asan oom reentry: export ASAN_OPTIONS := detect_leaks=1:detect_stack_use_after_return=1:intercept_tls_get_addr=0
asan oom reentry: export LSAN_OPTIONS := print_suppressions=0

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
	$(build) root $(PROGS) build/support/splitbtf build/support/probed build/support/sys.so
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

# Programs written in Lua beside the same functions in Lua; SEED="7" repeats one run.
.PHONY: fuzz-programs
fuzz-programs: ## Run random functions in Lua and in the kernel, for FUZZ_SECONDS=60
	$(call need,$(BUILD_PKGS))
	$(build) root all
	@build-aux/sandbox $(LUA) spec/support/fuzz/programs.lua $(or $(SEED),$$(date +%s)) $(FUZZ_SECONDS)

build/fuzz/legacy_fuzz: $(wildcard src/object/legacy*.c) src/btf/elf.c src/btf/check.c
build/fuzz/elfsym_fuzz: src/btf/elfsym.c src/btf/elf.c
build/fuzz/%_fuzz: fuzz/%_fuzz.c $(wildcard src/*/*.h fuzz/*.h)
	@mkdir -p $(@D)
	$(call run,CC )$(CLANG) $(C_FLAGS) -O1 -g -fno-omit-frame-pointer \
		-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -U_FORTIFY_SOURCE -o $@ $(filter %.c,$^) $(BPF_LIBS)
