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

install: all ## Install under PREFIX, below DESTDIR if given
	install -d '$(DESTDIR)$(LUA_CDIR)/bpf' $(LUA_DIRS) \
		'$(DESTDIR)$(INCDIR)' '$(DESTDIR)$(PC_DIR)' '$(DESTDIR)$(BINDIR)' '$(DESTDIR)$(MANDIR)/man1' \
		'$(DESTDIR)$(TYPESDIR)' '$(DESTDIR)$(BASHDIR)' '$(DESTDIR)$(ZSHDIR)' $(DOC_DIRS)
	install -m 755 $(MODULE) $(DWFL) '$(DESTDIR)$(LUA_CDIR)/bpf'
	set -e; for file in $(LUA_MODULES:lua/%=%); do install -m 644 "lua/$$file" '$(DESTDIR)$(LUA_LDIR)'"/$$file"; done
	$(LUA) build-aux/precompile.lua $(LUA_ABI) '$(DESTDIR)$(COMPILED)' '$(LUA_LDIR)' $(LUA_MODULES)
	install -m 644 src/host/lbpf.h '$(DESTDIR)$(INCDIR)/lbpf.h'
	install -m 644 $(LIBRARY) '$(DESTDIR)$(LIBDIR)/liblbpf.a'
	sed $(PC_VALUES) build-aux/lua-bpf.pc.in >'$(DESTDIR)$(PC_DIR)/lua-bpf.pc'
	chmod 644 '$(DESTDIR)$(PC_DIR)/lua-bpf.pc'
	sed '1s|lua5.4|$(LUA)|' bin/lua-bpf >'$(DESTDIR)$(BINDIR)/lua-bpf'
	chmod 755 '$(DESTDIR)$(BINDIR)/lua-bpf'
	install -m 644 docs/lua-bpf.1 '$(DESTDIR)$(MANDIR)/man1/lua-bpf.1'
	install -m 644 build-aux/lua-bpf.bash '$(DESTDIR)$(BASHDIR)/lua-bpf'
	install -m 644 build-aux/lua-bpf.zsh '$(DESTDIR)$(ZSHDIR)/_lua-bpf'
	install -m 644 types/bpf.lua '$(DESTDIR)$(TYPESDIR)/bpf.lua'
	set -e; for file in $(DOC_FILES); do install -m 644 "$$file" '$(DESTDIR)$(DOCDIR)'"/$$file"; done

uninstall: ## Remove what install put there
	rm -f '$(DESTDIR)$(LUA_CDIR)/bpf/core.so' '$(DESTDIR)$(LUA_CDIR)/bpf/dwfl.so' $(patsubst lua/%,'$(DESTDIR)$(LUA_LDIR)/%',$(LUA_MODULES)) \
		'$(DESTDIR)$(INCDIR)/lbpf.h' '$(DESTDIR)$(LIBDIR)/liblbpf.a' '$(DESTDIR)$(PC_DIR)/lua-bpf.pc' \
		'$(DESTDIR)$(BINDIR)/lua-bpf' '$(DESTDIR)$(MANDIR)/man1/lua-bpf.1' '$(DESTDIR)$(TYPESDIR)/bpf.lua' \
		'$(DESTDIR)$(BASHDIR)/lua-bpf' '$(DESTDIR)$(ZSHDIR)/_lua-bpf' \
		$(patsubst %,'$(DESTDIR)$(DOCDIR)/%',$(DOC_FILES))
	rm -rf '$(DESTDIR)$(COMPILED)'
	@for dir in '$(DESTDIR)$(PREFIX)/lib/lua-bpf' $(LUA_DIRS) '$(DESTDIR)$(LUA_CDIR)/bpf' '$(DESTDIR)$(LUA_LDIR)/bpf' '$(DESTDIR)$(TYPESDIR)' \
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
