-- SPDX-License-Identifier: MIT
-- Shows when programs pass USDT probes, with the arguments. Many programs and libraries
-- have some: databases, interpreters; libstdc++.so.6 has libstdcxx:throw.
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local bpf = require "bpf"
local common = require "common"

local parser = common.parser([[
Shows when a program reaches its USDT probes: all of them, or the given one. Needs root.
Without a file, compiles a small program that has probes, and watches it.]])
parser:argument("file", "a program or library"):args "?"
parser:argument("probe", "provider:name"):args "?"
parser:option("--seconds", "run for N seconds or until Ctrl-C", "3"):argname("N"):convert(common.seconds)
parser:option("--pid", "watch only this process", 0):argname("PID"):convert(common.count)
parser:option("--text", "show the N-th argument (1 to 6) as text", 0):argname("N"):convert(common.count)
parser:flag("--list", "only list the file's probes", false)
local options = parser:parse()

-- The file's probes, as readelf lists them: a sequence of { provider, name }.
local function probes(path)
  local list, seen = {}, {}
  local listing = common.run(("readelf --notes --wide %s"):format(common.quote(path)))
  for provider, name in listing:gmatch "Provider: (%S+)%s+Name: (%S+)" do
    local probe = provider .. ":" .. name
    if not seen[probe] and (not options.probe or options.probe == probe) then
      seen[probe] = true
      list[#list + 1] = { provider = provider, name = name, text = probe }
    end
  end
  common.try(#list > 0, ("%s: no USDT probe%s"):format(path, options.probe and " " .. options.probe or "s"))
  table.sort(list, function(a, b) return a.text < b.text end)
  return list
end

-- The program beside this script, compiled. Removed when closed.
local function kitchen()
  local dir = common.run("mktemp -d"):gsub("%s+$", "")
  local made <close> = setmetatable({ dir }, { __close = function(t) -- if compiling fails
    if t[1] then
      os.execute("rm -r " .. dir)
    end
  end })
  common.run(("cc -o %s/kitchen %s"):format(dir, common.quote((arg[0]:gsub("[^/]*$", "kitchen.c")))))
  made[1] = nil
  return setmetatable({ path = dir .. "/kitchen" }, { __close = function() os.execute("rm -r " .. dir) end })
end

local function arguments(e)
  local words = {}
  for i = 1, math.min(e.count, #e.arguments) do
    words[i] = i == options.text and ("%q"):format(e.text) or tostring(e.arguments[i])
  end
  return table.concat(words, ", ")
end

local function watch(obj, path, list)
  local width, count, first = common.width(), 0, nil
  local events <close> = common.try(bpf.ringbuf(obj.maps.passed, "struct passed", function(e)
    first, count = first or e.ns, count + 1
    print(bpf.hist.line(("%9.3f  %7d  %-16s %s(%s)"):format((e.ns - first) / 1e9, e.pid, e.comm, list[e.probe].text,
      arguments(e)), width))
  end))
  for i, probe in ipairs(list) do
    common.try(obj.progs.on_probe:attach_usdt(path, probe.provider, probe.name, {
      pid = options.pid > 0 and options.pid or -1, usdt_cookie = i,
    }))
  end
  print("  SECONDS      PID  COMMAND          PROBE")
  local cook <close> = not options.file and common.start(path) or nil -- luacheck: ignore
  common.poll(events, options.seconds)
  print(("\n%d passed%s"):format(count,
    obj.vars.lost > 0 and (", %d not shown: the ring was full"):format(obj.vars.lost) or ""))
end

common.main(function()
  common.try(options.text <= 6, "--text: only up to 6 arguments are looked at")
  if options.list then
    for _, probe in ipairs(probes(common.try(options.file, "--list needs a file"))) do
      print(probe.text)
    end
    return
  end
  common.need("cookies of uprobes, which USDT takes,", "5.15")
  options.text = options.file and options.text or 2
  local obj <close> = common.load { vars = { text = options.text } }
  local demo <close> = not options.file and kitchen() or nil
  local path = options.file or demo.path
  watch(obj, path, probes(path))
end)
