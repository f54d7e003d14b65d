rockspec_format = "3.0"
package = "lua-bpf-dwfl"
version = "scm-1"
source = {
  url = "git+file://.", -- built in place: `luarocks make rockspec/lua-bpf-dwfl-scm-1.rockspec`
}
description = {
  summary = "Debug files, inlined functions and source lines for lua-bpf's symbols",
  detailed = [[
Names addresses of processes by elfutils' libdwfl: separate debug files, inlined functions, source lines, and names of
C++ and Rust. bpf.symbols uses it where it is installed.]],
  license = "MIT",
  labels = { "linux", "bpf", "ebpf", "tracing", "dwarf" },
}
supported_platforms = { "linux" }
dependencies = {
  "lua >= 5.4, < 5.6",
  "lua-bpf",
}
-- Names no files, as luarocks would only say that one is missing: dwfl/module.c names the package that has it.
external_dependencies = {
  LIBDW = {},
}
build = {
  type = "builtin",
  modules = {
    ["bpf.dwfl"] = {
      sources = {
        "dwfl/debugfile.c",
        "dwfl/demangle.c",
        "dwfl/module.c",
        "dwfl/rust.c",
        "dwfl/symtab.c",
        "dwfl/units.c",
      },
      libraries = { "dw", "elf", "dl", "pthread" },
      incdirs = { "dwfl", "$(LIBDW_INCDIR)" },
      libdirs = { "$(LIBDW_LIBDIR)" },
    },
  },
}
