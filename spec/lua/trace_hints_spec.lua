-- SPDX-License-Identifier: MIT
-- Warnings of what bodies of a trace do that is hardly meant.
local hints = require "bpf.trace.hints"
local infer = require "bpf.trace.infer"

local PATH <const> = { path = { kind = "pointer", type = "char" }, file = { kind = "pointer", type = "struct file" } }

-- Bodies of texts, of which one that begins with "tool:" runs in the tool.
local function bodies_of(...)
  local bodies = {}
  for n, text in ipairs { ... } do
    local plain = text:match "^tool:(.*)"
    bodies[n] = { title = "p" .. n, text = plain or text, tool = plain ~= nil, arguments = PATH }
    bodies[n].fn = infer.load(bodies[n].title, bodies[n].text, {})
  end
  return bodies
end

-- The sentences about bodies.
local function told(gathers, shared, ...)
  return hints.of(bodies_of(...), gathers, shared)
end

-- The sentences about what bodies share.
local function about(...)
  local bodies = bodies_of(...)
  return hints.of(bodies, true, infer.run(bodies).shared)
end

describe("hints about bodies", function()
  local ABSENT <const> = "p1: n[comm] is absent at first, which ends the body here: write (n[comm] or 0), or count(…)"

  it("tell of tables whose entries come of themselves alone", function()
    assert.same({ ABSENT }, about "n[comm] = n[comm] + 1")
    assert.same({ ABSENT }, about("if n[comm] == 3 then n[comm]=n[comm]-1 end", "m[pid] = n[comm]"))
    assert.same({}, about("n[comm] = n[comm] + 1", "n[comm] = 0"))
    assert.same({}, about("n[comm] = n[comm] + 1 n[pcomm] = 0", "n[pcomm] = 0"))
    assert.same({}, about("n[comm] = n[comm] + 1", "tool:n.x = 0"))
    assert.same({}, about("n[comm] = (n[comm] or 0) + 1"))
  end)

  it("tell of tables that get no entry, because the body calculates with one before", function()
    local function absent(entry)
      return { ("p1: %s is absent at first, which ends the body here, before anything is stored: "
        .. "write if %s then … end around what it calculates"):format(entry, entry) }
    end
    for _, text in ipairs {
      "hist(nsecs - last[tid]) last[tid] = nsecs",
      "local t = last[tid] count((nsecs - t) // 1000) last[tid] = nsecs",
      "last[tid] = last[pid] + 1", -- whatever the key: there is none
      "if pid > 3 then hist(-last[tid]) last[tid] = 1 else count(last[tid] & 1) last[pid] = 3 end",
      "for i = 1, 3 do count(last[tid] + 1) last[tid] = i end",
    } do
      assert.same(absent "last[tid]", about(text))
    end
    assert.same(absent "io[{pid, tid}]",
      about "local k = {pid, tid} local s = io[k] hist(nsecs - s.ts) io[k] = { ts = nsecs }")
    assert.same(absent "at[tid]",
      about("hist(nsecs - at[tid]) at[tid] = nsecs", "count(at[tid] + 1) at[tid] = nsecs"))
  end)

  it("tell nothing of tables that may get an entry", function()
    for _, text in ipairs {
      "if last[tid] then hist(nsecs - last[tid]) end last[tid] = nsecs",
      "local t = last[tid] if t then hist(nsecs - t) end last[tid] = nsecs",
      "local t = last[tid] if not t then last[tid] = nsecs return end hist(nsecs - t) last[tid] = nsecs",
      "local t = last[tid] or nsecs hist(nsecs - t) last[tid] = nsecs",
      "hist(nsecs - (last[tid] or 0)) last[tid] = nsecs",
      "last[tid] = nsecs hist(nsecs - last[tid])",
      "if pid > 3 then hist(nsecs - last[tid]) end last[tid] = nsecs",
      "for i = 1, pid do count(last[tid] + 1) end last[tid] = 1",
      "while pid > 3 do last[tid] = 1 count(last[tid] + 1) end",
      "count(last[tid]) print(last[tid], last[tid] == 3) last[tid] = nsecs",
      "count(-other[tid]) last[tid] = 1 other[tid] = last[tid]",
    } do
      local list = about(text, "other[pid] = 1")
      assert.same({}, list)
    end
    assert.same({}, about("start[tid] = nsecs", "hist((nsecs - start[tid]) // 1000) start[tid] = nil"))
    assert.same({}, about("hist(nsecs - start[tid]) start[tid] = nil", "start[tid] = nsecs"))
    assert.same({}, about("hist(nsecs - start[tid]) start[tid] = nsecs", "tool:start[1] = 1"))
  end)

  it("tell of addresses of texts that are printed", function()
    local address = { "p1: args.path is an address: str(args.path) is the text there" }
    assert.same(address, told(true, {}, "print(comm, args.path)"))
    assert.same(address, told(true, {}, "count(args.path, pid) print( args.path )"))
    assert.same({}, told(true, {}, "print(str(args.path), str( args.path, 9), buf(args.path, 3), args.file)"))
    assert.same({}, told(true, {}, "p[tid] = args.path print(args.path == 3)"))
  end)

  it("tell that nothing is printed", function()
    assert.same({ "nothing will be printed: end 'print(n)' prints what 'n' holds" },
      told(false, { n = {} }, "n[tid] = 1"))
    assert.same({ "nothing will be printed: count(comm) counts, print(comm) prints" }, told(false, {}, "local x = 1"))
    assert.same({}, told(false, { n = {} }, "n[tid] = 1", "tool:print(n)"))
    assert.same({}, told(false, {}, "exit()"))
    assert.same({}, told(true, { n = {} }, "n[tid] = 1"))
  end)
end)
