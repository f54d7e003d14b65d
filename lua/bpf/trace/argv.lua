-- SPDX-License-Identifier: MIT
-- `str(args.argv)`: the arguments that a process starts a program with, up to twenty, with spaces between them.
local types = require("bpf.program.types")

local argv = {}

-- What `args.argv` leads to.
argv.FORM = { kind = "struct", size = 8, name = "the arguments of a program", order = {}, members = {} }

local PROBE_READ_USER <const>, PROBE_READ_USER_STR <const> = 112, 114
local MOST <const> = 20
local LONGEST <const> = 64 -- bytes of one argument

-- The address of the n-th string, or 0.
local function address_at(c, list, n)
  local f = c.f
  local object = f:object(8)
  f:store(object, 0, 8, 0)
  f:call(PROBE_READ_USER, { object = object, offset = 0 }, 8, f:alu("add", list, f:alu("lsh", n, 3)))
  local r = f:load(object, 0, 8)
  f:release(object)
  return r
end

-- Appends strings to memory of `size` bytes until one is absent or the memory is full, with spaces between them. There
-- is room for one more.
local function append_all(c, object, size, list)
  local f = c.f
  local n, at = f:move(f:register(), 0), f:move(f:register(), 0)
  local again, read, got, more, kept, behind = f:block(), f:block(), f:block(), f:block(), f:block(), f:block()
  f:jump(again)
  f:start(again)
  local address = address_at(c, list, n)
  f:branch("ne", address, 0, read, behind)
  f:start(read)
  local place = f:alu("add", f:address(object, 0), at)
  local length = f:call(PROBE_READ_USER_STR, place, LONGEST, address)
  f:branch("sgt", length, 0, got, behind)
  f:start(got)
  f:move(at, f:alu("add", at, f:alu("and", length, 2 * LONGEST - 1)))
  f:move(n, f:alu("add", n, 1))
  f:branch("lt", at, size, more, behind)
  f:start(more)
  f:branch("gt", at, 0, kept, behind) -- as the verifier has forgotten
  f:start(kept)
  f:store(f:alu("add", f:address(object, 0), at), -1, 1, (" "):byte())
  f:branch("lt", n, MOST, again, behind)
  f:start(behind)
  c:when("gt", at, 0, function() f:store(f:alu("add", f:address(object, 0), at), -1, 1, 0) end)
end

-- The string of `size` bytes that the list at an address makes.
function argv.text(c, list, size)
  local object = c:stable_object(size + 2 * LONGEST)
  c:clear(object, 0, object.size)
  append_all(c, object, size, list)
  c.f:store(object, size - 1, 1, 0)
  return { kind = "buffer", object = object, offset = 0, type = types.chars(size) }
end

return argv
