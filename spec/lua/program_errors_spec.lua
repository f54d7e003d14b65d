-- SPDX-License-Identifier: MIT
-- What BPF programs written in Lua can't do, and what the messages say: the line of the script, what is wrong there,
-- and what to write instead.
local bpf = require "bpf"
local kernel = require "spec.support.kernel"

local map, helper = bpf.map, bpf.helper

local m, things, odd, slots, queue, ring, trie
local Record = bpf.btf.type "struct { long n; char name[8]; }"

local function create(type, options)
  options.type, options.max_entries = type, options.max_entries or 4
  return assert(map.create(options))
end

setup(function()
  kernel.root()
  m = create("hash", { key = "long", value = "long" })
  things = create("hash", { key = "long", value = [[
    struct two { int x; };
    struct thing { long n; char name[8]; int list[3]; struct two two[2]; char text[70]; };]] })
  odd = create("hash", { key = "long", value = [[
    struct { double real; int before : 31; long wide : 60; int behind : 6; } __attribute__((packed))]] })
  slots = create("array", { value = "long" })
  queue = create("queue", { value = "long" })
  ring = create("ringbuf", { max_entries = 4096 })
  trie = create("lpm_trie", { key = "struct { __u32 prefixlen; unsigned char data[4]; }", value = "long" })
end)

teardown(function()
  for _, each in pairs { m, things, odd, slots, queue, ring, trie } do
    map.close(each)
  end
end)

-- Checks that a function is refused with a message, at a line of it: by default the one where it begins.
local function refused(section, message, fn, line)
  local prog, got, code = bpf.program(section, fn)
  assert.is_nil(prog)
  assert.equal("EINVAL", code)
  local at = debug.getinfo(fn, "S").linedefined + (line or 0)
  assert.equal(("bpf.program: spec/lua/program_errors_spec.lua:%d: %s"):format(at, message), got)
end

-- A test for each row: a sentence, the message, the function, and the line of it that is wrong.
local function each(section, rows)
  for _, row in ipairs(rows) do
    local sentence, message, fn, line = table.unpack(row)
    it(sentence, function() refused(section, message, fn, line) end)
  end
end

-- luacheck: push ignore 11. 21. 22. 23. 24. 31. 512 542

local number, list, settings = 5, { 1, 2, "x" }, { limit = 5 }
local uneven, large = { [1] = 1, x = 2 }, {}
for n = 1, 100 do
  large["name" .. n] = n
end
local function recursive(n) return n > 0 and recursive(n - 1) or 0 end

describe("numbers in a program", function()
  each("raw_tp/x", {
    { "can't be divided with '/'", "'/' gives floating point, which BPF doesn't have: use '//'",
      function(a) return a / 2 end },
    { "have no '^'", "'^' gives floating point, which BPF doesn't have: multiply, or shift",
      function(a) return a ^ 2 end },
    { "can't have a fraction", "arithmetic: BPF has no floating point, and 1.5 is one",
      function(a) return a + 1.5 end },
    { "can't be added to texts", 'arithmetic: an integer is expected, this is the string "5"',
      function(a) return a + "5" end },
    { "can't be nil", "arithmetic: an integer is expected, this is nil",
      function(a) local x return a + x end },
    { "can't be out of look-ups that may find nothing",
      "arithmetic: this may be nil here: test it before, or write (… or 0)", function(a) return m[a] + 1 end },
    { "can't be variables that may be nil", "arithmetic: 'n' may be nil here: test it before, or write (n or 0)",
      function(a) local n = m[a] return n + 1 end },
    { "can't be compared with texts", 'comparison: an integer is expected, this is the string "x"',
      function(a) return a < "x" end },
    { "can't be compared with what may be nil", "comparison: 'n' may be nil here: test it before, or write (n or 0)",
      function(a) local n = m[a] return n < 1 end },
    { "can't be one thing on one path and another on another", "arithmetic: an integer is expected, 'x' is different "
      .. 'things on different paths (the string "s"; an integer): use a variable for each',
      function(a) local x = "s" if a > 1 then x = 5 end return x + 1 end },
  })
end)

describe("values in a program", function()
  local two_things = "'x' is different things on different paths (the string \"s\"; an integer): use a variable for "
    .. "each"
  each("raw_tp/x", {
    { "of two kinds can't be tested", two_things,
      function(a) local x = "s" if a > 1 then x = 5 end if x then return 1 end end },
    { "of two kinds can't be negated", two_things,
      function(a) local x = "s" if a > 1 then x = 5 end return not x end },
    { "of two kinds can't be compared", two_things,
      function(a) local x = "s" if a > 1 then x = 5 end return x == 5 end },
    { "that are texts can't be put together",
      "'..' isn't possible in a BPF program: send the parts, and put them together in the script",
      function(a) return a .. "x" end },
    { "that are texts have no methods", 'the string "x" has no method \'upper\' in a program',
      function() local s = "x" return s:upper() end },
    { "that are numbers have no length", "#: a string is expected, 'a' is an integer",
      function(a) return #a end },
    { "can't be closed", "<close> isn't possible in a BPF program",
      function() local x <close> = nil end },
    { "of a program's result are one", "a program returns one value, and this returns 2",
      function(a) return a, a end },
    { "of a program's result are no tables", "result: an integer is expected, this is a table",
      function() return {} end },
    { "of a program's result are no strings", "result: an integer is expected, field 'name' is a string",
      function(a) local v = things[a] if v then return v.name end end },
    { "of a program's result are no structs", "result: an integer is expected, 'v' is a struct thing",
      function(a) local v = things[a] if v then return v end end },
    { "of a program's result may not be nil sometimes",
      "result: this may be nil here: test it before, or write (… or 0)", function(a) return m[a] end },
  })
end)

describe("variables in a program", function()
  each("raw_tp/x", {
    { "of the script can't be assigned",
      "'number' can't be assigned in a program, whose upvalues are constants: use a map, or bpf.var",
      function(a) number = a end },
    { "can't be global", "the global 'unheard_of' can't be assigned in a program: use a map, or bpf.var",
      function(a) unheard_of = a end },
    { "that are global have to be there", "there is no global 'unheard_of'", function(a) return unheard_of + a end },
    { "that a local function uses can't be assigned again in the next round of a loop",
      "the local function uses 'x', which is assigned again: hand it over as an argument",
      function(a)
        local x, r = 1, 0
        for i = 1, 3 do
          x = x + i
          local function f() return x + a end
          r = r + f()
        end
        return r
      end, 4 },
    { "that a local function uses can't be assigned again",
      "the local function uses 'x', which is assigned again: hand it over as an argument",
      function(a) local x = 1 local function f() return x + a end x = 2 return f() end },
  })
end)

describe("loops in a program", function()
  each("raw_tp/x", {
    { "have a step that is known", "the step of 'for' must be a constant", function(a) for i = 1, 10, a do end end },
    { "have a step that isn't 0", "the step of 'for' is zero", function(a) for i = 1, 10, 0 do end end },
    { "have no fractions", "the initial value of 'for': BPF has no floating point, and 1.5 is one",
      function(a) for i = 1.5, 10 do end end },
    { "have numbers as limits", "the limit of 'for': an integer is expected, this is nil",
      function() for i = 1, nil do end end },
    { "over a sequence have no ipairs", "'ipairs' isn't possible in a BPF program: write 'for i = 1, #t do'",
      function() for _, v in ipairs(list) do end end },
    { "have no next", "'for … in' walks over pairs(map) only, in a program",
      function() for k in next, list do end end },
    { "have no iterators", "'for … in' walks over pairs(map) only, in a program", function(a) for k in a do end end },
    { "have no pairs of tables", "'pairs' walks over maps only, in a program, and this is a table of the script",
      function() for k in pairs(list) do end end },
    { "have no pairs of LPM tries",
      "'pairs' over a map of type lpm_trie isn't possible in a program: the kernel has no such walk: walk in the "
        .. "script",
      function() for k in pairs(trie) do end end },
    { "have no pairs of queues", "a map of type queue isn't indexed in a program: use map.push, map.pop and map.peek",
      function() for k in pairs(queue) do end end },
  })
end)

describe("functions in a program", function()
  each("raw_tp/x", {
    { "have no '...'", "the function of a program can't have '...', which a loaded chunk has: return a function from "
      .. "the chunk", function(...) return ... end },
    { "that are called have no '...'", "a function with '...' can't be called in a program",
      function(a) local function f(...) return ... end return f(a) end },
    { "don't print", "'print' isn't possible in a BPF program: send records to a ring buffer, or call "
      .. "helper.trace_printk", function(a) print(a) end },
    { "don't ask for types",
      "'type' isn't possible in a BPF program, where the types of all values are known", function(a) type(a) end },
    { "don't make texts of numbers", "'tostring' isn't possible in a BPF program: send the number, and make text of it "
      .. "in the script", function(a) tostring(a) end },
    { "don't catch errors", "'pcall' isn't possible in a BPF program, whose errors end it",
      function() pcall(recursive) end },
    { "have no coroutines", "coroutines aren't possible in a BPF program", function() coroutine.yield() end },
    { "have no metatables", "metatables aren't possible in a BPF program", function() setmetatable({}, {}) end },
    { "aren't written in C", "field 'format' can't be called in a BPF program, because it is written in C: programs "
      .. "call functions written in Lua, the kernel's helpers, and some of bpf.map and math",
      function() string.format("x") end },
    { "are functions", "attempt to call local 'a', which is an integer", function(a) a() end },
  })
end)

describe("a function that calls itself in a program", function()
  it("is refused at the call", function()
    local function f(a) return recursive(a) end
    refused("raw_tp/x", "calls are nested more than 8 deep, or recursive: BPF has no recursion, write a loop", f,
      debug.getinfo(recursive, "S").linedefined - debug.getinfo(f, "S").linedefined)
  end)
end)

describe("tables in a program", function()
  local changed = "'t' can't be changed once a local function uses it: hand it over as an argument"
  each("raw_tp/x", {
    { "have keys that are known", "'t' is a table of the program's, whose keys must be constants: use a map",
      function(a) local t = { 1, 2 } return t[a] end },
    { "get keys that are known", "a table's keys must be constants in a program: use a map",
      function(a) local t = {} t[a] = 1 end },
    { "of the script can't be changed",
      "'settings' is a table of the script, which a program can't change: use a map, or bpf.var",
      function() settings.limit = 1 end },
    { "of the script have keys of one kind where they are indexed at run time",
      "'uneven' is indexed at run time: its keys must be integers, or strings, all of them",
      function(a) return uneven[a] end },
    { "of the script are small where they are indexed at run time by names",
      "'large' has 100 entries, which is too many to compare with: put them in a map",
      function() return large[helper.get_current_comm()] end },
    { "of the script have values of one kind where they are indexed at run time",
      "'list' is indexed at run time: its values must be integers, or booleans, all of them",
      function(a) return list[a] end },
    { "with several names aren't changed in loops", "'t' has several names here, and can't be changed any more: change "
      .. "it before, or use a map",
      function() local t = { x = 1 } local u = t for i = 1, 3 do t.x = i end return u.x end },
    { "with several names on some paths aren't changed", "'t' has several names here, and can't be changed any more: "
      .. "change it before, or use a map",
      function(a) local t = { x = 1 } local u = t if a > 3 then u = { x = 2 } end t.x = 5 return u.x end },
    { "aren't members of themselves", "'t' can't be a member of itself in a program",
      function() local t = { x = 1 } t.t = t end },
    { "aren't nil on some paths",
      "'t' is different things on different paths (a table; nil): use a variable for each",
      function(a) local t if a > 3 then t = { x = 1 } end if t then return t.x end end },
    { "aren't changed behind a function that uses them", changed,
      function(a) local t = { x = 1 } local function f() return t.x + a end t.x = 2 return f() end },
    { "aren't changed by a function that uses them", changed,
      function() local t = { x = 1 } local function f() t.x = 2 end return f() end },
    { "aren't changed by those they are handed to",
      "'u' was handed over by the caller, who has it still: return a new one",
      function() local t = { x = 1 } local function f(u) u.x = 2 end return f(t) end },
    { "that are nil have no members", "attempt to index field 'b', which is nil",
      function() local t = { a = {} } return t.a.b.c end },
  })
end)

describe("structs in a program", function()
  each("raw_tp/x", {
    { "may be nil behind a look-up", "'v' may be nil here: test it before",
      function(a) local v = things[a] return v.n end },
    { "may be nil in the look-up itself", "this may be nil here: test it before",
      function(a) return things[a].n end },
    { "have the members of their types", "struct thing has no member 'nam' (members: n, name, list, two, text)",
      function(a) local v = things[a] if v then return v.nam end end },
    { "can't get other members", "struct thing has no member 'nam' (members: n, name, list, two, text)",
      function(a) local v = things[a] if v then v.nam = 1 end end },
    { "can't be made with other members", "struct thing has no member 'nam' (members: n, name, list, two, text)",
      function(a) things[a] = { nam = 1 } end },
    { "have members with names that are known", "the members of struct thing have constant names, 'a' is an integer",
      function(a) local v = things[a] if v then return v[a] end end },
    { "aren't made of numbers", "value: a table or a struct thing is expected, 'a' is an integer",
      function(a) things[a] = a end },
    { "have numbers where their types have them", 'value.n: an integer is expected, this is the string "x"',
      function(a) things[a] = { n = "x" } end },
    { "are no numbers", "attempt to index 'a', which is an integer", function(a) return a.n end },
    { "are no numbers that can be assigned to", "'a' has no members to assign: it is an integer",
      function(a) a.n = 1 end },
    { "can't have floating point read", "values of type double can't be read",
      function(a) local v = odd[a] if v then return v.real end end },
    { "can't have floating point written", "real: values of type double can't be written",
      function(a) local v = odd[a] if v then v.real = 1 end end },
    { "can't have bit-fields of two integers read",
      "the bit-field 'wide' lies across two integers, which a program can't read",
      function(a) local v = odd[a] if v then return v.wide end end },
    { "have arrays with a first and a last element", "field 'list' has 3 elements, there is no element 4",
      function(a) local v = things[a] if v then v.list[4] = 1 end end },
    { "have arrays that are made of as many elements", "value.list has 3 elements, there is no element 4",
      function(a) things[a] = { list = { 1, 2, 3, 4 } } end },
    { "have arrays that are made of tables", "list: a table is expected, 'a' is an integer",
      function(a) local v = things[a] if v then v.list = a end end },
    { "can't be kept as addresses", "value: an integer is expected, 'v' is a struct thing",
      function(a) local v = things[a] if v then m[1] = v end end },
    { "have elements that may be beyond the end of an array", "this may be nil here: test it before",
      function(a) local v = things[a] if v then return v.two[a].x end end },
  })
end)

describe("strings in a program", function()
  each("raw_tp/x", {
    { "have to fit", "name: a string of 13 bytes doesn't fit, there is room for 8",
      function(a) local v = things[a] if v then v.name = "much too long" end end },
    { "of a larger array don't fit", "name: a string of 70 bytes doesn't fit, there is room for 8",
      function(a) local v = things[a] if v then v.name = v.text end end },
    { "aren't numbers", "name: a string is expected, 'a' is an integer",
      function(a) local v = things[a] if v then v.name = a end end },
    { "aren't added to", "arithmetic: an integer is expected, field 'name' is a string",
      function(a) local v = things[a] if v then return v.name + 1 end end },
    { "that a helper reads have to fit", "value.text: a string of up to 100 bytes doesn't fit, there is room for 70",
      function(a) things[1] = { text = helper.probe_read_user_str(a, 100) } end },
  })
end)

describe("maps in a program", function()
  local keyless = "a map of type ringbuf isn't indexed in a program: use helper.ringbuf_output(m, type, record)"
  each("raw_tp/x", {
    { "have keys of their type", 'key: an integer is expected, this is the string "x"',
      function() m.x = 1 end },
    { "have values of their type", 'value: an integer is expected, this is the string "x"',
      function(a) m[a] = "x" end },
    { "can't be assigned what may be nil", "value: 'n' may be nil here: test it before, or write (n or 0)",
      function(a) local n = m[a] m[a + 1] = n end },
    { "that are arrays keep their entries", "the entries of an array can't be deleted: assign a value",
      function() slots[1] = nil end },
    { "without keys aren't indexed", keyless, function() return ring[1] end },
    { "without keys aren't assigned to", keyless, function() ring[1] = 1 end },
    { "without keys don't have map.lookup", keyless, function() return map.lookup(ring, 1) end },
    { "are looked up by map.lookup(map, key)", "map.lookup: a map is expected, this is an integer",
      function(a) return map.lookup(a, 1) end },
    { "are looked up with a key", "map.lookup: the key is missing", function() return map.lookup(m) end },
    { "are updated with a value", "map.update: the value is missing", function() map.update(m, 1) end },
    { "are updated with a flag of three", 'map.update: the flag must be "any", "noexist" or "exist"',
      function() map.update(m, 1, 2, "never") end },
    { "are pushed to if they are queues",
      "map.push: a queue, a stack or a bloom filter is expected, this map is of type hash",
      function() map.push(m, 1) end },
    { "have integers of 4 or 8 bytes that map.add adds to",
      "map.add: values must be integers of 4 or 8 bytes, these are struct thing",
      function() map.add(things, 1, 2) end },
    { "don't have the script's functions", "map.clear can't be called in a program: call it in the script",
      function() map.clear(m) end },
  })
end)

describe("helpers in a program", function()
  each("raw_tp/x", {
    { "are the kernel's", "the kernel has no helper 'no_such_thing'", function() helper.no_such_thing() end },
    { "get all their arguments", "helper.probe_read_user: argument 2, a number, is missing",
      function() return helper.probe_read_user(8) end },
    { "get no more arguments", "helper.probe_read_user: 3 arguments are too many: it takes 2",
      function(a) return helper.probe_read_user(Record, a, 5) end },
    { "write what has a size that is known", "helper.probe_read_user: a type, or a size as a constant, is expected for "
      .. "what it returns, this is an integer", function(a) return helper.probe_read_user(a, a) end },
    { "get a type before a table", "helper.perf_event_output: a type has to stand before a table",
      function() helper.perf_event_output(ring, { n = 1 }) end },
    { "get numbers", 'helper.send_signal: argument 1: an integer is expected, this is the string "x"',
      function() helper.send_signal("x") end },
    { "get maps", "helper.map_push_elem: argument 1: a map is expected, this is an integer",
      function(a) return helper.map_push_elem(a, 1) end },
    { "with callbacks can't be called",
      "helper.for_each_map_elem: a program written in Lua can't call it: one of its arguments is a function",
      function() return helper.for_each_map_elem(m, 1) end },
    { "that read strings get an address", "helper.probe_read_user_str: an address is expected",
      function() return helper.probe_read_user_str() end },
    { "that read strings have a size that is known", "helper.probe_read_user_str: the size must be a constant",
      function(a) return helper.probe_read_user_str(a, a) end },
    { "that print have a format that is known", "helper.trace_printk: the format must be a constant string",
      function(a) return helper.trace_printk(a) end },
    { "that print take three values", "helper.trace_printk takes three values at most",
      function() return helper.trace_printk("x", 1, 2, 3, 4) end },
    { "of ring buffers get one", "helper.ringbuf_output: a map of type ringbuf is expected, this is a map of type hash",
      function() return helper.ringbuf_output(m, Record, {}) end },
    { "of ring buffers get a type", "helper.ringbuf_output: a type and a record are expected behind the map",
      function() return helper.ringbuf_output(ring, {}) end },
    { "of ring buffers get a record of the type", "struct {…} has no member 'x' (members: n, name)",
      function() return helper.ringbuf_output(ring, Record, { x = 1 }) end },
    { "of storages get their owner", "helper.task_storage_get: a map and the owner of the entry are expected",
      function() return helper.task_storage_get(m) end },
  })
end)

describe("functions of bpf in a program", function()
  each("raw_tp/x", {
    { "that cast get an address and a type", "bpf.cast: an address and the name of a type, or a bpf.type, are expected",
      function(a) return bpf.cast(a) end },
    { "that cast know the type", "bpf.cast: there is no struct or union 'struct no_such_thing'",
      function(a) return bpf.cast(a, "struct no_such_thing").x end },
    { "that are atomic get a struct",
      "bpf.atomic.add: a struct in a map, the name of a member and a number are expected",
      function() bpf.atomic.add(m, "n", 1) end },
    { "that are atomic get a struct that is there", "bpf.atomic.add: the struct may be nil here: test it before",
      function() bpf.atomic.add(things[1], "n", 1) end },
    { "that are atomic get an integer's name", "bpf.atomic.add: members must be integers of 4 or 8 bytes",
      function() local v = things[1] if v then bpf.atomic.add(v, "name", 1) end end },
  })
end)

describe("a packet in a program", function()
  each("xdp", {
    { "is read as a type", "packet: a type is expected, this is nothing", function(ctx) return ctx:packet(0) end },
    { "is read as a type that is there", "packet: there is no type 'struct no_such_thing'",
      function(ctx) return ctx:packet(0, "struct no_such_thing") end },
    { "has no other methods than its context", "a struct xdp_md has no method 'unpack' in a program",
      function(ctx) return ctx:unpack() end },
    { "may end before", "'eth' may be nil here: test it before",
      function(ctx) local eth = ctx:packet(0, "struct ethhdr") return eth.h_proto end },
  })
  each("tc", {
    { "is a copy in programs of socket buffers",
      "struct ethhdr is a copy of the packet's: write by helper.skb_store_bytes",
      function(ctx) local eth = ctx:packet(0, "struct ethhdr") if eth then eth.h_proto = 1 end end },
  })
end)

describe("a comparison", function()
  it("of a number with a string is never true, and refused", function()
    refused("tc", "'mark' is an integer and never equal to the string \"1000\": compare with 1000", function(ctx)
      local mark = ctx.mark
      if mark == "1000" then return 1 end
    end, 2)
    refused("tc", "field 'mark' is an integer and never equal to the string \"x\"",
      function(ctx) return "x" ~= ctx.mark and 1 or 0 end)
    refused("tc", "this is an integer or nil and never equal to the string \"7\": compare with 7",
      function(ctx) if m[ctx.mark] == "7" then return 1 end end)
    refused("kprobe/do_nothing", "this is an integer and never equal to a string", function()
      if helper.get_current_comm() == helper.get_current_pid_tgid() then return 1 end
    end, 1)
  end)
end)

describe("a section", function()
  local examples = ": 'tracepoint/sched/sched_switch', 'xdp' and 'cgroup/connect4' are examples"
  it("has to be known", function()
    refused("nothing/x", "section 'nothing/x' isn't known" .. examples, function() end)
    refused("", "section '' isn't known" .. examples, function() end)
    refused("XDP", "section 'XDP' isn't known (near: xdp)", function() end)
    refused("tracepiont/a/b", "section 'tracepiont/a/b' isn't known (near: tracepoint/a/b)", function() end)
    refused("kprobes/f", "section 'kprobes/f' isn't known (near: kprobe/f, uprobe/f)", function() end)
  end)

  it("has one of the places that libbpf knows", function()
    refused("cgroup/conect4", "section 'cgroup/conect4' isn't known (near: cgroup/connect4, cgroup/connect6)",
      function() end)
    refused("tc/ingres", "section 'tc/ingres' isn't known (near: tc/ingress)", function() end)
    refused("netkit/x", "section 'netkit/x' isn't known (near: netkit/primary, netkit/peer)", function() end)
    refused("sk_skb/parser", "section 'sk_skb/parser' isn't known (near: sk_skb/stream_parser)", function() end)
    refused("xdp/device", "section 'xdp/device' isn't known (near: xdp, xdp/devmap, xdp/cpumap)", function() end)
  end)

  it("of a tracepoint has two parts", function()
    refused("tracepoint/x", "a tracepoint has a category and a name: tracepoint/sched/sched_switch", function() end)
  end)

  it("of a kind that isn't possible yet says so", function()
    refused("struct_ops/x", "a struct_ops program can't be written in Lua yet", function() end)
    refused("freplace/x", "a program that replaces another can't be written in Lua yet", function() end)
  end)
end)

-- luacheck: pop
