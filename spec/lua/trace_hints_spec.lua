-- SPDX-License-Identifier: MIT
-- Warnings of what bodies of a trace do that is hardly meant.
local hints = require "bpf.trace.hints"

local PATH <const> = { path = { kind = "pointer", type = "char" }, file = { kind = "pointer", type = "struct file" } }

-- The sentences about bodies: texts, of which one that begins with "tool:" runs in the tool.
local function told(gathers, shared, ...)
  local bodies = {}
  for n, text in ipairs { ... } do
    local plain = text:match "^tool:(.*)"
    bodies[n] = { title = "p" .. n, text = plain or text, tool = plain ~= nil, arguments = PATH }
  end
  return hints.of(bodies, gathers, shared)
end

describe("hints about bodies", function()
  local ABSENT <const> = "p1: n[comm] is absent at first, which ends the body here: write (n[comm] or 0), or count(…)"

  it("tell of tables whose entries come of themselves alone", function()
    assert.same({ ABSENT }, told(true, { "n" }, "n[comm] = n[comm] + 1"))
    assert.same({ ABSENT }, told(true, { "n" }, "if n[comm] == 3 then n[comm]=n[comm]-1 end", "m[pid] = n[comm]"))
    assert.same({}, told(true, { "n" }, "n[comm] = n[comm] + 1", "n[comm] = 0"))
    assert.same({}, told(true, { "n" }, "n[comm] = n[comm] + 1 n[pcomm] = 0"))
    assert.same({}, told(true, { "n" }, "n[comm] = n[comm] + 1", "tool:n.x = 0"))
    assert.same({}, told(true, { "n" }, "n[comm] = (n[comm] or 0) + 1"))
    assert.same({}, told(true, { "n" }, "n[tid] = n[pid] + 1"))
  end)

  it("tell of addresses of texts that are printed", function()
    local address = { "p1: args.path is an address: str(args.path) is the text there" }
    assert.same(address, told(true, {}, "print(comm, args.path)"))
    assert.same(address, told(true, {}, "count(args.path, pid) print( args.path )"))
    assert.same({}, told(true, {}, "print(str(args.path), str( args.path, 9), buf(args.path, 3), args.file)"))
    assert.same({}, told(true, { "p" }, "p[tid] = args.path print(args.path == 3)"))
  end)

  it("tell that nothing is printed", function()
    assert.same({ "nothing will be printed: end 'print(n)' prints what 'n' holds" }, told(false, { "n" }, "n[tid] = 1"))
    assert.same({ "nothing will be printed: count(comm) counts, print(comm) prints" }, told(false, {}, "local x = 1"))
    assert.same({}, told(false, { "n" }, "n[tid] = 1", "tool:print(n)"))
    assert.same({}, told(false, {}, "exit()"))
    assert.same({}, told(true, { "n" }, "n[tid] = 1"))
  end)
end)
