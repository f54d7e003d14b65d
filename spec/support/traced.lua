-- SPDX-License-Identifier: MIT
-- `lua-bpf trace` of a command: what it prints.
local helper = require "spec.helper"
local tool = require "spec.support.command"

local traced = {}

-- A command that calls write 100 times with 1024 bytes, and a bit around that.
traced.WRITES = "dd if=/dev/zero of=/dev/null bs=1k count=100 status=none"

-- The words of a line: probes, bodies, options.
local function line(command, ...)
  local words = { "trace -c " .. helper.quote(command) }
  for _, word in ipairs { ... } do
    words[#words + 1] = helper.quote(word)
  end
  return table.concat(words, " ")
end

-- What a trace prints while a command runs alone, without "ready".
function traced.works(command, ...)
  return (tool.works(line(command, ...)):gsub("ready, %d+ probes?\n", "", 1))
end

-- Fails with status 2 and a message that has a pattern in it.
function traced.fails(pattern, ...)
  tool.fails(2, pattern, line("true", ...))
end

return traced
