-- SPDX-License-Identifier: MIT
-- lua-bpf pin, lua-bpf prog pin and lua-bpf link pin; and lua-bpf unpin, which removes the pins of all kinds.

local bpf = require("bpf")
local frame = require("bpf.command.frame")
local posix = require("bpf.base.posix")
local target = require("bpf.command.target")

-- The command that pins objects of a kind.
local function pinner(kind, usage)
  return { usage = usage, arguments = { kind, "file" }, options = {}, run = function(_, names)
    if #names ~= 2 then
      frame.misuse(names[3] and "not understood: " .. names[3] or names[1] and "at which path?"
        or usage:match("Usage: [^\n]- ([A-Z]+) PATH\n"):lower():gsub("^", "which ") .. "?", usage)
    end
    local object <close> = target.object(kind, names[1])
    frame.need(frame.try(kind == "map" and bpf.map.pin or object.pin, object, names[2]))
  end }
end

local UNPIN <const> = [[
Usage: lua-bpf unpin PATH...

Removes pins of maps, programs and links. Files that are no such pins stay. If nothing else keeps an object, it is freed
with its last pin; a link is detached. If one of the paths is no pin, nothing is removed.

Example: lua-bpf unpin /sys/fs/bpf/hits
]]

local function unpin(_, paths)
  if #paths == 0 then
    frame.misuse("which pin?", UNPIN)
  end
  for _, path in ipairs(paths) do
    frame.need(posix.pinned(path))
  end
  for _, path in ipairs(paths) do
    frame.need(os.remove(path))
  end
end

return {
  pin = pinner("map", [[
Usage: lua-bpf pin MAP PATH

Pins a map at a path of a BPF file system, which keeps the map. Nothing may exist at the path.

Example: lua-bpf pin hits /sys/fs/bpf/hits
]]),
  ["prog pin"] = pinner("prog", [[
Usage: lua-bpf prog pin PROG PATH

Pins a program at a path of a BPF file system, which keeps the program. Nothing may exist at the path.

Example: lua-bpf prog pin count_packets /sys/fs/bpf/count_packets
]]),
  ["link pin"] = pinner("link", [[
Usage: lua-bpf link pin LINK PATH

Pins a link at a path of a BPF file system: its program stays attached when the process that has the link ends. Nothing
may exist at the path.

Example: lua-bpf link pin count_packets /sys/fs/bpf/count_packets_link
]]),
  unpin = { usage = UNPIN, arguments = { "file..." }, options = {}, run = unpin },
}
