-- SPDX-License-Identifier: MIT
-- What bodies print: formats, and records through the ring.
local bpf = require "bpf"
local events = require "bpf.trace.events"
local kernel = require "spec.support.kernel"
local printf = require "bpf.trace.printf"

local function text(format, ...)
  local values = { ... }
  return printf.text(printf.read(format), values, function(n) return tostring(values[n]) end)
end

describe("formats of printf", function()
  it("are those of C", function()
    assert.equal("7 007|7  |+7| 7", text("%d %03d|%-3i|%+d|%2ld", 7, 7, 7, 7, 7))
    assert.equal("ff FF 0xff 17 100%", text("%x %X %#x %o %d%%", 255, 255, 255, 15, 100))
    assert.equal("18446744073709551615|  9223372036854775808|5", text("%u|%21llu|%u", -1, math.mininteger, 5))
    assert.equal("A|  B|0x10", text("%c|%3c|%p", 65, 66, 16))
    assert.equal("dd|  dd|dd  |d", text("%s|%4s|%-4s|%.1s", "dd", "dd", "dd", "dd"))
    assert.equal("1 0", text("%d %d", true, false))
  end)

  it("that C has and these haven't raise", function()
    for format, pattern in pairs { ["%f"] = "'%%f' is no conversion", ["a %"] = "'%%' is no conversion",
      ["%*d"] = "'%%%*d' is no conversion", ["%100d"] = "'%%100d': 99 is the greatest width" } do
      local ok, failure = pcall(printf.read, format)
      assert.is_false(ok)
      assert.matches(pattern, failure.trace)
    end
  end)
end)

describe("what bodies print", function()
  kernel.root()
  kernel.need("ring buffers", "5.8")

  local me = io.open("/proc/self/stat"):read("n")

  -- Loads a body that runs when this process opens a file. Returns the object and the state, or nil and a message.
  local function load_body(body, calls)
    local state = events.new()
    local names = setmetatable({ helper = bpf.helper, me = me }, { __index = events.words })
    local chunk = "local print, printf, exit, helper, me = print, printf, exit, helper, me return function(args) "
      .. "if helper.get_current_pid_tgid() >> 32 ~= me then return end " .. body .. "\nend"
    local fn = assert(load(chunk, "=body", "t", names))()
    events.add(state, fn, calls)
    local obj, message = bpf.programs { body = { "tracepoint/syscalls/sys_enter_openat", fn } }
    return obj, obj and state or message
  end

  -- What a body prints when a file is opened so many times, and the state.
  local function printed(body, times)
    local obj <close>, state = load_body(body)
    assert(obj, state)
    local lines = {}
    local reader <close> = assert(events.reader(state, obj.maps, function(line) lines[#lines + 1] = line end))
    assert(obj:attach())
    for _ = 1, times or 1 do
      local file <close> = io.open("/etc/passwd")
      assert(file)
    end
    obj:detach()
    reader:consume()
    return lines, state, events.count_lost(obj.maps)
  end

  local PATH <const> = "helper.probe_read_user_str(args.filename, 128)"

  it("comes formatted, in order", function()
    local lines, state, lost = printed(([[printf("%%d|%%-6s|%%s|%%s\n", helper.get_current_pid_tgid() >> 32, %s, "x", 7)
      print("opened", %s, 5, args.flags < 0)]]):format(PATH, PATH))
    assert.same({ ("%d|/etc/passwd|x|7\n"):format(me), "opened\t/etc/passwd\t5\tfalse\n" }, lines)
    assert.is_nil(state.ended)
    assert.equal(0, lost)
  end)

  it("ends with exit()", function()
    local lines, state = printed("print(1) exit() print(2)", 3)
    assert.same({ "1\n" }, lines)
    assert.is_true(state.ended)
  end)

  it("and finds no room is counted", function()
    local lines, _, lost = printed("for i = 1, 100 do print(i, " .. PATH .. ") end", 100)
    assert.is_true(#lines > 1000 and #lines < 10000)
    assert.equal(10000, #lines + lost)
  end)

  it("has values by their meaning", function()
    assert.equal("ENOENT", events.show({ kind = "integer", meaning = "errno" }, -2))
    assert.equal("2", events.show({ kind = "integer", meaning = "errno" }, 2)) -- a descriptor
    assert.equal("SIGKILL", events.show({ kind = "integer", meaning = "signal" }, 9))
    assert.equal("0xff", events.show({ kind = "pointer", type = "struct x" }, 255))
    assert.equal("12", events.show({ kind = "integer", meaning = "pid" }, 12))
    assert.matches("^[a-z_]+$", events.show({ kind = "integer", meaning = "syscall" }, 0))
    assert.equal(os.date("%Y"), events.show({ kind = "integer", meaning = "time %Y" }, bpf.clock()))
    assert.equal("7", events.show({ kind = "integer", meaning = "time %Q" }, 7))
    assert.equal("a probe", events.show({ kind = "integer", meaning = "probe" }, 1,
      { names = { probe = function() return "a probe" end } }))
  end)

  it("is checked when the body is compiled", function()
    for body, pattern in pairs {
      ["printf('%d')"] = "the format has 1 conversion, and 0 values stand behind it",
      ["printf('%f', 1)"] = "'%%f' is no conversion",
      ["printf('%d', " .. PATH .. ")"] = "%%d takes a number, and value 1 is a string",
      ["printf(" .. PATH .. ")"] = "the format must be a constant string",
    } do
      local obj, message = load_body(body)
      assert.is_nil(obj)
      assert.matches(pattern, message)
    end
    assert.error_matches(function() events.words.print(1) end, "print prints from a program")
  end)
end)
