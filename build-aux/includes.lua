-- SPDX-License-Identifier: MIT
-- Usage: includes.lua src/*.[ch]
-- Checks that includes point downward only: a file may include its own header and those of the layers below its own.

-- From top to bottom. Files of one layer don't know each other. A header may have another layer than its C file.
local layers = {
  "core embed",
  "open",
  "configure load",
  "loadcause",
  "pins mapset",
  "pinned",
  "object",
  "legacy opencause structops ringbuf perfbuf user_ringbuf batch memory view attach iter system features names",
  "attachtrace attachuser attachnet attachtc",
  "attachopened attachcause",
  "attach.h perfevent walk reader perfrecord",
  "steps",
  "innermap redirect percpu prefix stacktrace link",
  "progopen progrun progset",
  "program mapkinds mapcreate mapinfo mapopen mapops mapmem descriptor",
  "map mapcause seen stream legacywrite userfunc",
  "legacydef btfopen elfsym",
  "btfdump",
  "btfpieces",
  "btfinfo",
  "legacybtf elf btf btfsame linkinfo btfdefine",
  "btfcheck btftext btfweigh",
  "cdecl",
  "cattrs cexpr cnames ctagged",
  "cparse",
  "cbtf clayout",
  "ctypes",
  "clex",
  "type key",
  "encode decode",
  "codec",
  "bits",
  "source posix token",
  "type.h mapkinds.h",
  "conv mapmem.h wait",
  "err arg",
  "syscall newer bpffd latch needs cause declared qdisc",
  "class",
  "raise",
  "luafiles process printed spare btfenum",
  "compat",
  "lbpf",
}

local layer_of = {}
for i, names in ipairs(layers) do
  for name in names:gmatch("%S+") do
    layer_of[name] = i
  end
end

local bad = false
local function complain(...)
  io.stderr:write(string.format(...), "\n")
  bad = true
end

for _, path in ipairs(arg) do
  local file, name = path:match("(([%w_]+)%.[ch])$")
  local layer = layer_of[file] or layer_of[name]
  if not layer then
    complain("%s: in no layer; give it one in %s", path, arg[0])
  else
    local number = 0
    for line in io.lines(path) do
      number = number + 1
      local header, included = line:match('^%s*#%s*include%s+"(([%w_]+)%.h)"')
      if header and included ~= name and (layer_of[header] or layer_of[included] or 0) <= layer then
        complain("%s:%d: includes %s, which is not in a layer below", path, number, header)
      end
    end
  end
end

os.exit(not bad)
