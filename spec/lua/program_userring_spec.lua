-- SPDX-License-Identifier: MIT
-- helper.user_ringbuf_drain in BPF programs written in Lua: records that a script has submitted.
local bpf = require "bpf"
local kernel = require "spec.support.kernel"

local map, helper = bpf.map, bpf.helper

setup(function()
  kernel.root()
  kernel.need("user_ringbuf", "6.1")
end)

local Sample = bpf.btf.type "struct sample { __u32 seq; __u32 value; char text[16]; }"

local function ring_buffer()
  return assert(map.create { type = "user_ringbuf", max_entries = 4096 })
end

local function counters()
  return assert(map.create { type = "array", max_entries = 4, key = "__u32", value = "__u64" })
end

local function program(fn)
  return assert(bpf.program("raw_tp/drain", fn))
end

local function run(prog, a, b)
  return assert(prog:run { ctx = string.pack("<i8i8", a or 0, b or 0) .. ("\0"):rep(80) }).retval
end

describe("helper.user_ringbuf_drain", function()
  it("calls a function for each record and returns how many there were", function()
    local ring <close> = ring_buffer()
    local n <close> = counters()
    local last <close> = assert(map.create { type = "hash", max_entries = 4, key = "__u32", value = Sample })
    local producer <close> = assert(bpf.user_ringbuf(ring, Sample))
    local prog <close> = program(function()
      return helper.user_ringbuf_drain(ring, Sample, function(record)
        n[0] = n[0] + record.value
        last[record.seq] = record
      end)
    end)
    for seq = 1, 3 do
      assert(producer:submit { seq = seq, value = 10 * seq, text = "number " .. seq })
    end
    assert.equal(3, run(prog))
    assert.equal(60, n[0])
    assert.same({ seq = 2, value = 20, text = "number 2" }, last[2])
    assert.equal(0, run(prog))
  end)

  it("stops where the function returns 1 or true, and goes on with 0, false and nil", function()
    local ring <close> = ring_buffer()
    local n <close> = counters()
    local producer <close> = assert(bpf.user_ringbuf(ring, Sample))
    local prog <close> = program(function()
      helper.user_ringbuf_drain(ring, Sample, function(record)
        n[0] = n[0] + 1
        if record.text == "one" then
          return 1
        elseif record.text == "true" then
          return true
        elseif record.value == 3 then
          return record.value - 3
        end
        return record.value == 4
      end)
    end)
    for value, text in ipairs { "one", "true", "x", "y", "z" } do
      assert(producer:submit { value = value, text = text })
    end
    local counts = {}
    for k = 1, 4 do
      run(prog)
      counts[k] = n[0]
    end
    assert.same({ 1, 2, 4, 5 }, counts)
  end)

  it("lets the function use what is around it", function()
    local ring <close> = ring_buffer()
    local n <close> = counters()
    local producer <close> = assert(bpf.user_ringbuf(ring, Sample))
    local prog <close> = program(function(a, b)
      local comm = helper.get_current_comm()
      local t = { factor = a, more = { offset = b } }
      local found = n[1]
      helper.user_ringbuf_drain(ring, Sample, function(record)
        n[0] = n[0] + record.value * t.factor + t.more.offset + found
        if record.text == comm then
          n[2] = n[2] + 1
        end
      end)
    end)
    n[1] = 1000
    assert(producer:submit { value = 5, text = "other" })
    assert(producer:submit { value = 6, text = (io.lines("/proc/self/comm")()) })
    run(prog, 100, 7)
    assert.equal(1100 + 2 * 7 + 2 * 1000, n[0])
    assert.equal(1, n[2])
  end)

  it("ends the program with an error of the function's", function()
    local ring <close> = ring_buffer()
    local n <close> = counters()
    local producer <close> = assert(bpf.user_ringbuf(ring, Sample))
    local prog <close> = program(function()
      helper.user_ringbuf_drain(ring, Sample, function(record)
        n[0] = 10 // record.value
      end)
      n[1] = n[1] + 1
      return 7
    end)
    assert(producer:submit { value = 2 })
    assert.equal(7, run(prog))
    assert(producer:submit { value = 0 })
    assert.equal(0, run(prog))
    assert.same({ 5, 1 }, { n[0], n[1] })
  end)

  it("takes integers, strings beyond the stack, and a function of the script", function()
    local ring <close> = ring_buffer()
    local n <close> = counters()
    local producer <close> = assert(bpf.user_ringbuf(ring))
    local function measure(text)
      n[0] = #text
    end
    local long <close> = program(function() return helper.user_ringbuf_drain(ring, "char[700]", measure) end)
    local integers <close> = program(function()
      helper.user_ringbuf_drain(ring, "__u32", function(number) n[1] = n[1] + number end)
    end)
    assert(producer:submit(("x"):rep(650) .. ("\0"):rep(50)))
    assert(producer:submit("too short"))
    assert.equal(2, run(long))
    assert.equal(650, n[0])
    assert(producer:submit(string.pack("<I4", 0xfffffff0)))
    assert(producer:submit(string.pack("<I4", 16)))
    run(integers)
    assert.equal(1 << 32, n[1])
  end)

  it("tells what its arguments are", function()
    local ring <close> = ring_buffer()
    local n <close> = counters()
    local function refused(expected, fn)
      local prog, message = bpf.program("raw_tp/drain", fn)
      assert.is_nil(prog)
      assert.equal(expected, (message:gsub("^bpf%.program: [^:]*:%d+: ", "")))
    end
    refused("helper.user_ringbuf_drain: a map of type user_ringbuf is expected, this is a map of type array",
      function() helper.user_ringbuf_drain(n, Sample, function() end) end)
    refused("helper.user_ringbuf_drain: a type is expected behind the map, this is a function",
      function() helper.user_ringbuf_drain(ring, function() end) end)
    refused("helper.user_ringbuf_drain: a function is expected behind the type, this is nil",
      function() helper.user_ringbuf_drain(ring, Sample) end)
    refused("the function of helper.user_ringbuf_drain returns 0 to go on or 1 to stop, this is the string \"x\"",
      function() helper.user_ringbuf_drain(ring, Sample, function() return "x" end) end)
  end)
end)
