-- SPDX-License-Identifier: MIT
-- How the columns of tables are called: by what stands in bodies for keys and values.
local headings = require "bpf.trace.tables.headings"
local titles = require "bpf.trace.infer.titles"

-- Parts of a key: numbers of arguments, or fields of a record, which is the first argument.
local function parts(...)
  local list = {}
  for n, what in ipairs { ... } do
    list[n] = type(what) == "number" and { argument = what } or { argument = 1, field = what }
  end
  return list
end

local function of_keys(written, ...)
  return table.concat(headings.of_keys { written = written, parts = parts(...) }, "|")
end

describe("headings of keys", function()
  it("are the arguments of a call", function()
    assert.equal("COMM|PREV_PID", of_keys({ "comm", "args.prev_pid" }, 1, 2))
    assert.equal("COMM|args.comm", of_keys({ "comm", "args.comm" }, 1, 2))
    assert.equal("COMM", of_keys({ "args.ret", "comm" }, 1)) -- what is measured comes first
    assert.equal("pid // 2|errno(args.ret)|args[2]",
      of_keys({ "pid // 2", "errno(args.ret)", "args.args[2]" }, 1, 2, 3))
  end)

  it("are the members of a constructor", function()
    assert.equal("DEV|SECTOR", of_keys({ "{args.dev, args.sector}" }, "_1", "_2"))
    assert.equal("N|PID|CPU", of_keys({ "{pid, n = f(1, 2), cpu}" }, "n", "_1", "_2"))
    assert.equal("|", of_keys({ "k" }, "_1", "_2"))
    assert.equal("|", of_keys({}, "_1", "_2"))
    assert.equal("n == 1", of_keys({ "{ n == 1 }" }, "_1"))
  end)

  it("are as short as they can be told apart", function()
    assert.equal("SKC_DADDR|FILENAME", of_keys({ "args.sk.__sk_common.skc_daddr", "str(args.filename, 99)" }, 1, 2))
    assert.equal("PID|task.pid|a.pid", of_keys({ "pid", "task.pid", "args.a.pid" }, 1, 2, 3))
    assert.equal("str(a) == str(b)", of_keys({ "str(a) == str(b)" }, 1))
  end)

  it("of values are the members of a constructor, or their names", function()
    assert.same({ "TS", "COMM" }, headings.of_members({ "ts", "comm" }, "{ ts = nsecs, comm = comm }"))
    assert.same({ "NSECS", "CPU" }, headings.of_members({ "_1", "_2" }, "{ nsecs, cpu }"))
    assert.same({ "_1", "N" }, headings.of_members({ "_1", "n" }))
  end)
end)

describe("texts in bodies", function()
  it("are the parts of calls and constructors", function()
    assert.same({ "comm", "f(a, b)", "t[{1, 2}]", '"a,b"' }, titles.parts 'count( comm, f(a, b), t[{1, 2}], "a,b")')
    assert.same({ "{ a, b }" }, titles.parts "count{ a, b }")
    assert.same({ "a", "n = b" }, titles.parts "{ a, n = b, }")
    assert.same({}, titles.parts "count()")
    assert.same({}, titles.parts "pairs")
  end)

  it("are the keys and the values that are stored", function()
    local found = titles.entries "t[{a, b[1]}] = { 1, f{2} } -- u[x]\n\
      local k = { pid, tid } u[k] = n v[k] == {} w.v[3] = 1"
    assert.same({ key = "{a, b[1]}", value = "{ 1, f{2} }" }, found.t)
    assert.same({ key = "{ pid, tid }" }, found.u)
    assert.same({ key = "{ pid, tid }" }, found.v)
    found = titles.entries "local v = { ts = nsecs } if t[ pid ] then t[tid] = v end s['[']=1"
    assert.same({ key = "pid", value = "{ ts = nsecs }" }, found.t)
    assert.same({ key = "'['" }, found.s)
  end)
end)
