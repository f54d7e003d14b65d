-- SPDX-License-Identifier: MIT
-- bpf.trace.types: the types of what one-liners share.
local bpf = require "bpf"
local types = require "bpf.trace.types"

local describe_type, join = types.describe, types.join
local integer, string_of = types.integer, types.string

local function record(...)
  local order, members = {}, {}
  for n, row in ipairs { ... } do
    order[n] = row[1]
    members[row[1]] = row[2]
  end
  return types.record(order, members)
end

describe("types of one-liners", function()
  it("keep a meaning that both have", function()
    assert.equal("integer (pid)", describe_type(join(integer "pid", integer "pid")))
    assert.equal("integer", describe_type(join(integer "pid", integer "uid")))
    assert.equal("integer", describe_type(join(integer "pid", integer())))
  end)

  it("have room for the larger of two", function()
    assert.equal("char[64]", describe_type(join(string_of(16), string_of(64))))
    assert.equal(16, join(types.address(16), types.address(4)).size)
    assert.equal(9, join(types.bytes(8), types.bytes(9)).size)
  end)

  it("join with nil and what isn't known, and with nothing of another kind", function()
    for _, nothing in ipairs { types.absent, types.unknown } do
      assert.equal("char[16]", describe_type(join(nothing, string_of(16))))
      assert.equal("char[16]", describe_type(join(string_of(16), nothing)))
    end
    assert.equal("unknown", join(types.absent, types.unknown).kind)
    assert.equal("unknown", join(types.unknown, types.absent).kind)
    assert.is_nil(join(integer(), string_of(16)))
    assert.is_nil(join(types.kstack, integer()))
    assert.is_nil(join(types.kstack, types.ustack))
    assert.equal(types.kstack, join(types.kstack, types.kstack))
  end)

  it("keep a pointer's type where struct and memory are the same", function()
    local task = types.pointer("struct task_struct", "trusted")
    assert.equal("struct task_struct *", describe_type(join(task, types.pointer("struct task_struct"))))
    assert.equal("kernel", join(task, types.pointer("struct task_struct")).space)
    assert.equal("kernel", types.kept(task).space)
    assert.equal("integer", join(task, types.pointer("struct file")).kind)
    assert.equal("integer", join(task, types.pointer("struct task_struct", "user")).kind)
    assert.equal("integer", join(task, integer()).kind)
  end)

  it("unite the members of values, and demand the same of keys", function()
    local a, b = record({ "ts", integer() }), record({ "ts", integer() }, { "comm", string_of(16) })
    assert.equal("{ ts = integer, comm = char[16] }", describe_type(join(a, b)))
    assert.is_nil(join(a, b, true))
    assert.is_nil(join(a, record({ "ts", string_of(8) })))
  end)

  it("have a text in C of which maps are made", function()
    local key = record({ types.position(1), integer "pid" }, { types.position(2), string_of(16) })
    assert.equal("{ integer (pid), char[16] }", describe_type(key))
    local text = types.c(record({ "key", key }, { "ip", types.address(16) }, { "on", types.boolean },
      { "file", types.pointer("struct file") }, { "name", types.pointer("char", "user") }, { "stack", types.kstack }))
    assert.equal("struct { struct { __s64 _1; char _2[16]; } key; unsigned char ip[16]; _Bool on; " ..
      "struct file * file; __u64 name; __s32 stack; }", text)
    assert.equal(72, bpf.btf.type(text):size())
    assert.is_nil(types.c(types.unknown))
  end)
end)
