# SPDX-License-Identifier: MIT
# What looks at the source: warnings, formatting, the plan of includes, what is generated from it.

##@ Checking the source
C_FILES   := $(wildcard src/*/*.[ch] dwfl/*.[ch] spec/progs/*.[ch] spec/support/*.c spec/support/lua/*.c spec/hosts/*.c examples/*/*.c bench/*.c fuzz/*.c)
LUA_FILES := $(wildcard bin/lua-bpf lua spec examples bench build-aux/*.lua .luacheckrc .busted)

reference := $(LUA) build-aux/reference.lua src/*/*.c $(LUA_MODULES)

lint: ## Warnings of gcc and clang, static analysis, clang-tidy, luacheck, formatting, include graph, reference, version
	$(call need,$(LINT_PKGS))
	$(build) VARIANT=lint-gcc CC=gcc WERROR=1 all
	$(build) VARIANT=lint-clang CC=clang WERROR=1 all
	$(build) VARIANT=lint-analyzer CC=gcc WERROR=1 CFLAGS='-O1 -fanalyzer' all
	gcc -iquote src/host $(C_FLAGS) -Werror -fsyntax-only $(wildcard spec/support/*.c spec/support/lua/*.c spec/hosts/*.c)
	printf '%s\n' src/*/*.c dwfl/*.c | xargs -P$(JOBS) -I{} clang-tidy --quiet --warnings-as-errors='*' {} -- -std=gnu11 -iquote src $(LUA_CFLAGS) $(BPF_CFLAGS)
	luacheck --quiet --no-color $(LUA_FILES)
	clang-format --dry-run -Werror $(C_FILES)
	$(LUA) build-aux/includes.lua src/*/*.[ch]
	@$(reference) | diff docs/reference.md - || { echo "docs/reference.md isn't what the sources give: make doc" >&2; exit 1; }
	@! grep -nF '$(VERSION)' $$(find Makefile bin src lua rockspec -type f) | grep -v '^src/host/lbpf.h:' || \
		{ echo 'The version stands in src/host/lbpf.h only.' >&2; exit 1; }

doc: ## Generate docs/reference.md
	@mkdir -p build
	$(reference) >build/reference.md
	mv build/reference.md docs/reference.md

# Of the newest libbpf at hand: helpers that a kernel lacks are the verifier's to reject.
HEADER ?= /usr/include/bpf/bpf_helper_defs.h

.PHONY: helpers
helpers: ## Generate lua/bpf/program/helpers.lua from libbpf's HEADER=/usr/include/bpf/bpf_helper_defs.h
	@mkdir -p build
	$(LUA) build-aux/helpers.lua $(HEADER) >build/helpers.lua
	mv build/helpers.lua lua/bpf/program/helpers.lua

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
