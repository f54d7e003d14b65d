-- SPDX-License-Identifier: MIT
-- Counts calls of the functions of a program or library that match a pattern. One program is attached to all of them,
-- by uprobes, each with a cookie from which it knows whose call it sees.
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local bpf = require "bpf"
local common = require "common"

local parser = common.parser([[
Counts calls of functions in a program or library. The file is a path, or a name such as libc.so.6. Functions may be
patterns such as "mem*". Without arguments, counts malloc and related functions of libc.so.6. Needs root.]])
parser:argument("file", "a path, or a name such as libc.so.6, which is the default"):args "?"
parser:argument("functions", 'names, or patterns such as "mem*"; by default malloc and its kin'):args "*"
parser:option("--seconds", "run for N seconds or until Ctrl-C", "3"):argname("N"):convert(common.seconds)
parser:option("--pid", "count only calls in this process", 0):argname("PID"):convert(common.count)
parser:flag("--latency", "also show how long calls take", false)
parser:option("--argument", "show how large the N-th argument is, 1 to 5; not with --latency", 0)
  :argname("N"):convert(common.count)
parser:option("--top", "show at most N functions", "20"):argname("N"):convert(common.count)
local options = parser:parse()

local MAX = 512 -- functions
local ALLOCATION = { "malloc", "calloc", "realloc", "free" }

-- Where the file is that a program or library of that name is.
local function find(name)
  if name:find "/" then
    return name
  end
  local quoted = common.quote(name)
  local path = common.run(("command -v %s || ldconfig -p | awk -v name=%s '$1 == name { print $NF; exit }'"):format(
    quoted, quoted)):match "[^\n]+"
  return common.try(path, name .. ": no such program or library")
end

-- A pattern of Lua's for one of the shell's.
local function pattern(glob)
  return "^" .. glob:gsub("[%^$()%%.%[%]+%-]", "%%%0"):gsub("%*", ".*"):gsub("%?", ".") .. "$"
end

-- The names of the file's functions that match, as nm lists them.
local function functions(path, globs)
  local quoted = common.quote(path)
  local listing = common.run(("nm %s; nm -D %s 2>/dev/null || true"):format(quoted, quoted))
  local names, seen = {}, {}
  for name in listing:gmatch "%x+ [TtWw] ([%w_.$]+)" do
    for _, glob in ipairs(globs) do
      if not seen[name] and name:find(pattern(glob)) then
        seen[name] = true
        names[#names + 1] = name
      end
    end
  end
  common.try(#names > 0, ("%s: no function %s"):format(path, table.concat(globs, " ")))
  common.try(#names <= MAX, ("%s: %d functions match, more than %d"):format(path, #names, MAX))
  return names
end

local function attach(obj, path, names)
  local pid = options.pid > 0 and options.pid or -1
  for i, name in ipairs(names) do
    if options.latency then
      common.try(obj.progs.on_return:attach_uprobe(path, name, { pid = pid, retprobe = true, bpf_cookie = i - 1 }))
    end
    common.try(obj.progs.on_call:attach_uprobe(path, name, { pid = pid, bpf_cookie = i - 1 }))
  end
end

local function report(obj, names)
  local rows = {}
  for i, name in ipairs(names) do
    local n = bpf.map.sum(obj.maps.calls, i - 1)
    if n > 0 then
      rows[#rows + 1] = { n = n, name = name }
    end
  end
  table.sort(rows, function(a, b) return a.n > b.n or a.n == b.n and a.name < b.name end)
  print(bpf.hist.table(table.move(rows, 1, math.min(options.top, #rows), 1, {}), {
    { name = "CALLS", field = "n" }, { name = "FUNCTION", field = "name" },
  }, { width = common.width() }))
  if options.latency or options.argument > 0 then
    print("\n" .. bpf.hist.log2(obj.vars.slots, {
      title = options.latency and "Time from call to return" or "Argument " .. options.argument,
      unit = options.latency and "ns" or nil, width = math.min(common.width(), 100),
    }))
  end
end

common.main(function()
  common.try(options.argument <= 5, "--argument: only 1 to 5 are passed in registers everywhere")
  common.try(options.argument == 0 or not options.latency, "either --argument or --latency")
  common.need("cookies of uprobes", "5.15")
  local obj <close> = common.load { vars = { latency = options.latency, argument = options.argument } }
  local path = find(options.file or "libc.so.6")
  local names = functions(path, #options.functions > 0 and options.functions or ALLOCATION)
  attach(obj, path, names)
  print(("Counting %d function%s of %s for %g s; Ctrl-C ends it\n"):format(#names, #names == 1 and "" or "s", path,
    options.seconds))
  common.sleep(options.seconds)
  obj:detach()
  report(obj, names)
end)
