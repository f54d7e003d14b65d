# SPDX-License-Identifier: MIT
# The tests on other kernels, and with the libraries of another Debian.

##@ Testing elsewhere
# Objects are compiled here, not in the guest. `make test` before it adds this machine's kernel to the table.
KERNEL ?= 5.10 6.1 6.12 sid

vmtest: ## Run the tests on Debian's kernels in qemu: KERNEL="5.10 6.1 6.12 sid", or one of them
	$(call need,$(VM_PKGS))
	$(build) root built
	@build-aux/vmtest --kernels '$(KERNEL)' $(SPECS)

# In a root of its own, so the packages are those to install there; Go is large, and reads the same files everywhere. The
# table of vmtest gets a column for each Lua.
sidtest: ## Run the tests with the libraries of Debian sid, on this kernel: Lua 5.5 and newest libbpf and clang; some with 5.4
	$(call need,$(SID_PKGS))
	@PACKAGES='$(filter-out golang-go,$(TEST_PKGS)) haproxy lua5.5 liblua5.5-dev' build-aux/sidtest $(if $(SID_LUA),--lua $(SID_LUA)) $(SPEC)

.PHONY: sidtest-5.4 sidtest-5.5
sidtest-5.4 sidtest-5.5: sidtest-%: # those of one Lua
	@$(MAKE) --no-print-directory SID_LUA=$* sidtest
