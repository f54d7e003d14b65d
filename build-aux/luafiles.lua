-- SPDX-License-Identifier: MIT
-- Usage: luafiles.lua lua/bpf/*.lua >luafiles.c
-- Writes the Lua modules as C, for liblbpf.a.

local rows = {}

io.write '/* Made by build-aux/luafiles.lua. */\n#include "host/luafiles.h"\n'
for i, path in ipairs(arg) do
  local file <close> = assert(io.open(path, "rb"))
  local text = file:read "a"
  local name = assert(path:match "^lua/(.*%.lua)$", path)
  local module = name:gsub("/init%.lua$", ""):gsub("%.lua$", ""):gsub("/", ".")
  rows[i] = ('\t{ "%s", "@%s", text%d, sizeof(text%d) },\n'):format(module, name, i, i)
  io.write(("\nstatic const unsigned char text%d[] = {"):format(i))
  for at = 1, #text do
    io.write(at % 24 == 1 and "\n\t" or "", text:byte(at), ",")
  end
  io.write "\n};\n"
end
io.write("\nconst struct lbpf_luafile lbpf_luafiles[] = {\n", table.concat(rows), "\t{ 0 },\n};\n")
