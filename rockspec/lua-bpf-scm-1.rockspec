rockspec_format = "3.0"
package = "lua-bpf"
version = "scm-1"
source = {
  url = "git+file://.", -- built in place: `luarocks make rockspec/lua-bpf-scm-1.rockspec`
}
description = {
  summary = "BPF maps, programs and events from Lua",
  detailed = [[
Makes a BPF map in the Linux kernel a table in Lua, and binds libbpf around that: compiled BPF objects, programs,
links, ring buffers and BTF types.]],
  license = "MIT",
  labels = { "linux", "bpf", "ebpf", "tracing", "networking" },
}
supported_platforms = { "linux" }
dependencies = {
  "lua >= 5.4, < 5.6",
}
-- Names no files, as luarocks would only say that one is missing: src/needs.h names the package that has it.
external_dependencies = {
  LIBBPF = {},
}
build = {
  type = "builtin",
  modules = {
    ["bpf.core"] = {
      sources = {
        "src/arg.c",
        "src/attach.c",
        "src/attachnet.c",
        "src/attachtrace.c",
        "src/batch.c",
        "src/bpffd.c",
        "src/btf.c",
        "src/btfcheck.c",
        "src/btfdump.c",
        "src/btfinfo.c",
        "src/btfopen.c",
        "src/cause.c",
        "src/cbtf.c",
        "src/cdecl.c",
        "src/cexpr.c",
        "src/class.c",
        "src/clayout.c",
        "src/clex.c",
        "src/cnames.c",
        "src/core.c",
        "src/ctagged.c",
        "src/ctypes.c",
        "src/decode.c",
        "src/descriptor.c",
        "src/elf.c",
        "src/embed.c",
        "src/encode.c",
        "src/err.c",
        "src/features.c",
        "src/innermap.c",
        "src/iter.c",
        "src/latch.c",
        "src/legacy.c",
        "src/legacybtf.c",
        "src/legacydef.c",
        "src/legacywrite.c",
        "src/link.c",
        "src/linkinfo.c",
        "src/map.c",
        "src/mapcreate.c",
        "src/mapkinds.c",
        "src/mapmem.c",
        "src/mapopen.c",
        "src/mapops.c",
        "src/memory.c",
        "src/names.c",
        "src/object.c",
        "src/percpu.c",
        "src/perfbuf.c",
        "src/perfevent.c",
        "src/prefix.c",
        "src/progopen.c",
        "src/program.c",
        "src/progrun.c",
        "src/reader.c",
        "src/redirect.c",
        "src/ringbuf.c",
        "src/seen.c",
        "src/stacktrace.c",
        "src/stream.c",
        "src/system.c",
        "src/type.c",
        "src/user_ringbuf.c",
        "src/view.c",
        "src/walk.c",
      },
      libraries = { "bpf" },
      incdirs = { "$(LIBBPF_INCDIR)" },
      libdirs = { "$(LIBBPF_LIBDIR)" },
    },
    bpf = "lua/bpf/init.lua",
    ["bpf.compile"] = "lua/bpf/compile.lua",
    ["bpf.hist"] = "lua/bpf/hist.lua",
    ["bpf.inspect"] = "lua/bpf/inspect.lua",
    ["bpf.json"] = "lua/bpf/json.lua",
    ["bpf.metrics"] = "lua/bpf/metrics.lua",
    ["bpf.metrics.decode"] = "lua/bpf/metrics/decode.lua",
    ["bpf.metrics.family"] = "lua/bpf/metrics/family.lua",
    ["bpf.metrics.http"] = "lua/bpf/metrics/http.lua",
    ["bpf.metrics.labels"] = "lua/bpf/metrics/labels.lua",
    ["bpf.metrics.options"] = "lua/bpf/metrics/options.lua",
    ["bpf.metrics.text"] = "lua/bpf/metrics/text.lua",
    ["bpf.symbols"] = "lua/bpf/symbols.lua",
  },
  install = {
    bin = { ["lua-bpf"] = "bin/lua-bpf" },
  },
}
test = {
  type = "command",
  command = "make test",
}
