# SPDX-License-Identifier: MIT
# Installing, and what is made to be installed elsewhere.

##@ Packaging
PC_VALUES = $(foreach name,PREFIX LUA_PC VERSION,-e 's|@$(name)@|$($(name))|') \
	$(foreach name,LIBDIR INCDIR LUA_CDIR LUA_LDIR,-e 's|@$(name)@|$($(name):$(PREFIX)/%=$${prefix}/%)|')

# The folders below bpf/ that our Lua modules are in.
LUA_DIRS = $(patsubst lua/%/,'$(DESTDIR)$(LUA_LDIR)/%',$(filter-out lua/bpf/,$(sort $(dir $(LUA_MODULES)))))

# The modules for the command, compiled: bin/lua-bpf looks for them there.
COMPILED = $(PREFIX)/lib/lua-bpf/$(LUA_ABI)

# Documentation and examples keep their places beside each other, for the links between them.
DOC_FILES = README.md CHANGELOG.md LICENSE $(filter-out %.keys,$(wildcard docs/*)) \
	$(filter-out %.o,$(wildcard examples/*.lua examples/*/*))
DOC_DIRS  = $(patsubst %/,'$(DESTDIR)$(DOCDIR)/%',$(filter-out ./,$(sort $(dir $(DOC_FILES)))))

# A line for each place, as `run` has it in the Makefile.
put = $(if $(V),,@echo '  $(1)  $(DESTDIR)$(2)'; )

install: all ## Install under PREFIX, below DESTDIR if given
	$(if $(V),,@)install -d '$(DESTDIR)$(LUA_CDIR)/bpf' $(LUA_DIRS) \
		'$(DESTDIR)$(INCDIR)' '$(DESTDIR)$(PC_DIR)' '$(DESTDIR)$(BINDIR)' '$(DESTDIR)$(MANDIR)/man1' \
		'$(DESTDIR)$(TYPESDIR)' '$(DESTDIR)$(BASHDIR)' '$(DESTDIR)$(ZSHDIR)' $(DOC_DIRS)
	$(call put,INSTALL,$(LUA_CDIR)/bpf)install -m 755 $(MODULE) $(DWFL) '$(DESTDIR)$(LUA_CDIR)/bpf'
	$(call put,INSTALL,$(LUA_LDIR)/bpf)set -e; \
		for file in $(LUA_MODULES:lua/%=%); do install -m 644 "lua/$$file" '$(DESTDIR)$(LUA_LDIR)'"/$$file"; done
	$(call put,INSTALL,$(COMPILED))$(LUA) build-aux/precompile.lua $(LUA_ABI) '$(DESTDIR)$(COMPILED)' '$(LUA_LDIR)' $(LUA_MODULES)
	$(call put,INSTALL,$(INCDIR)/lbpf.h)install -m 644 src/host/lbpf.h '$(DESTDIR)$(INCDIR)/lbpf.h'
	$(call put,INSTALL,$(LIBDIR)/liblbpf.a)install -m 644 $(LIBRARY) '$(DESTDIR)$(LIBDIR)/liblbpf.a'
	$(call put,INSTALL,$(PC_DIR)/lua-bpf.pc)sed $(PC_VALUES) build-aux/lua-bpf.pc.in >'$(DESTDIR)$(PC_DIR)/lua-bpf.pc' && \
		chmod 644 '$(DESTDIR)$(PC_DIR)/lua-bpf.pc'
	$(call put,INSTALL,$(BINDIR)/lua-bpf)sed '1s|lua5.4|$(LUA)|' bin/lua-bpf >'$(DESTDIR)$(BINDIR)/lua-bpf' && \
		chmod 755 '$(DESTDIR)$(BINDIR)/lua-bpf'
	$(call put,INSTALL,$(MANDIR)/man1/lua-bpf.1)install -m 644 docs/lua-bpf.1 '$(DESTDIR)$(MANDIR)/man1/lua-bpf.1'
	$(call put,INSTALL,$(BASHDIR)/lua-bpf)install -m 644 build-aux/lua-bpf.bash '$(DESTDIR)$(BASHDIR)/lua-bpf'
	$(call put,INSTALL,$(ZSHDIR)/_lua-bpf)install -m 644 build-aux/lua-bpf.zsh '$(DESTDIR)$(ZSHDIR)/_lua-bpf'
	$(call put,INSTALL,$(TYPESDIR)/bpf.lua)install -m 644 types/bpf.lua '$(DESTDIR)$(TYPESDIR)/bpf.lua'
	$(call put,INSTALL,$(DOCDIR))set -e; for file in $(DOC_FILES); do install -m 644 "$$file" '$(DESTDIR)$(DOCDIR)'"/$$file"; done

uninstall: ## Remove what install put there
	$(call put,UNINSTALL,$(PREFIX))rm -f '$(DESTDIR)$(LUA_CDIR)/bpf/core.so' '$(DESTDIR)$(LUA_CDIR)/bpf/dwfl.so' $(patsubst lua/%,'$(DESTDIR)$(LUA_LDIR)/%',$(LUA_MODULES)) \
		'$(DESTDIR)$(INCDIR)/lbpf.h' '$(DESTDIR)$(LIBDIR)/liblbpf.a' '$(DESTDIR)$(PC_DIR)/lua-bpf.pc' \
		'$(DESTDIR)$(BINDIR)/lua-bpf' '$(DESTDIR)$(MANDIR)/man1/lua-bpf.1' '$(DESTDIR)$(TYPESDIR)/bpf.lua' \
		'$(DESTDIR)$(BASHDIR)/lua-bpf' '$(DESTDIR)$(ZSHDIR)/_lua-bpf' \
		$(patsubst %,'$(DESTDIR)$(DOCDIR)/%',$(DOC_FILES))
	$(if $(V),,@)rm -rf '$(DESTDIR)$(COMPILED)'
	$(if $(V),,@)[ ! -d '$(DESTDIR)$(LUA_LDIR)/bpf' ] || find '$(DESTDIR)$(LUA_LDIR)/bpf' -depth -type d -empty -delete
	$(if $(V),,@)for dir in '$(DESTDIR)$(PREFIX)/lib/lua-bpf' '$(DESTDIR)$(LUA_CDIR)/bpf' '$(DESTDIR)$(TYPESDIR)' \
		$(patsubst %/,'$(DESTDIR)%',$(dir $(TYPESDIR))) $(DOC_DIRS) '$(DESTDIR)$(DOCDIR)/examples' '$(DESTDIR)$(DOCDIR)'; do [ ! -d "$$dir" ] || rmdir --ignore-fail-on-non-empty "$$dir"; done

dist: ## Make a tarball of the committed tree
	@mkdir -p build
	git archive --prefix=lua-bpf-$(VERSION)/ -o build/lua-bpf-$(VERSION).tar.gz HEAD

# What `luarocks pack` would make, but that it wants the tarball's place in this machine's file system.
rock: dist ## Make a source rock of the committed tree
	@sed 's|"scm-1"|"$(VERSION)-1"|; s|"git+file://.".*|"file://lua-bpf-$(VERSION).tar.gz",|' rockspec/lua-bpf-scm-1.rockspec \
		>build/lua-bpf-$(VERSION)-1.rockspec
	@cd build && rm -f lua-bpf-$(VERSION)-1.src.rock && zip -q lua-bpf-$(VERSION)-1.src.rock \
		lua-bpf-$(VERSION)-1.rockspec lua-bpf-$(VERSION).tar.gz
