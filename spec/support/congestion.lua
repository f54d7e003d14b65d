-- SPDX-License-Identifier: MIT
-- The TCP congestion controls of spec/progs, under a name of this run's own: names are the machine's, and one that was
-- registered by a run that was killed stays taken. `local congestion = require "spec.support.congestion"`.
local helper = require("spec.helper")

local congestion = {}

--- The name under which the kernel offers them.
congestion.name = "lb" .. helper.tag

--- The bytes of an object, with that name in place of its own, which fills 16 bytes.
function congestion.object(file, own)
  local stream <close> = assert(io.open(helper.obj(file), "rb"))
  local padded = "%s" .. ("\0"):rep(16)
  local bytes, n = stream:read("a"):gsub(padded:format(own):sub(1, 16), padded:format(congestion.name):sub(1, 16))
  assert(n > 0, own)
  return bytes
end

return congestion
