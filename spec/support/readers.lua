-- SPDX-License-Identifier: MIT
-- bpf.symbols with each of its readers of files, and processes whose addresses specs look up.
local helper = require "spec.helper"

local readers = {}

local MODULES <const> = { "bpf.symbols", "bpf.symbols.process", "bpf.symbols.elf", "bpf.symbols.sorted" }

-- Loads bpf.symbols anew. Other specs keep the one that they have.
local function load_anew(without_dwfl)
  local kept, preload, dwfl = {}, package.preload["bpf.dwfl"], package.loaded["bpf.dwfl"]
  for _, name in ipairs(MODULES) do
    kept[name], package.loaded[name] = package.loaded[name], nil
  end
  if without_dwfl then
    package.loaded["bpf.dwfl"] = nil
    package.preload["bpf.dwfl"] = function() error "not installed" end
  end
  local symbols = require "bpf.symbols"
  assert(symbols.process(helper.pid)) -- loads the reader
  for _, name in ipairs(MODULES) do
    package.loaded[name] = kept[name]
  end
  package.preload["bpf.dwfl"], package.loaded["bpf.dwfl"] = preload, dwfl
  return symbols
end

--- Whether bpf.dwfl is here.
readers.has_dwfl = pcall(require, "bpf.dwfl")

--- bpf.symbols with the plain reader, which is always there.
readers.plain = load_anew(true)

--- bpf.symbols with libdwfl, or nil.
readers.dwfl = readers.has_dwfl and load_anew(false) or nil

--- Names of the readers that are here.
readers.names = readers.dwfl and { "plain", "dwfl" } or { "plain" }

--- Starts a command whose input stays open. Returns the numbers in the first line that it prints, in a table, and a
-- function that ends it.
function readers.start(command)
  local dir = helper.tmpdir()
  os.execute("mkfifo " .. dir .. "/in")
  local pipe = assert(io.popen(("exec %s <%s/in"):format(command, dir)))
  local hold = assert(io.open(dir .. "/in", "w"))
  local numbers = {}
  for text in assert(pipe:read "l", command):gmatch "%S+" do
    numbers[#numbers + 1] = math.tointeger(tonumber(text))
  end
  return numbers, function()
    if hold then
      hold:close()
      pipe:close()
      hold = nil
    end
  end
end

return readers
