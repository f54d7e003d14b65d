-- SPDX-License-Identifier: MIT
-- Usage: precompile.lua VERSION FOLDER SOURCES lua/bpf/*.lua
-- Writes the Lua modules as Lua's own code into FOLDER, a file NAME.luac for each module, for the command: Lua reads
-- that in an eighth of the time. Errors and tracebacks name the files in SOURCES. VERSION is that of the Lua that will
-- read them; if this Lua is another one, nothing is written.
local version <const>, folder <const>, sources <const> = table.unpack(arg, 1, 3)

if _VERSION:match "[%d.]+$" ~= version then
  os.exit(true)
end
local folders = {}
for n = 4, #arg do
  local name = assert(arg[n]:match "^lua/(.*%.lua)$", arg[n])
  local file <close> = assert(io.open(arg[n]))
  local code = string.dump(assert(load(file:read "a", ("@%s/%s"):format(sources, name), "t")))
  local module = name:gsub("/init%.lua$", ""):gsub("%.lua$", "")
  local path = ("%s/%s.luac"):format(folder, module)
  local parent = path:match "^(.*)/"
  if not folders[parent] then
    folders[parent] = os.execute(("mkdir -p '%s'"):format((parent:gsub("'", "'\\''"))))
  end
  local out <close> = assert(io.open(path, "wb"))
  assert(out:write(code))
end
