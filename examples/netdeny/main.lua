-- SPDX-License-Identifier: MIT
-- A policy for the connections of a command, by programs on its cgroup, in Lua alone. The rules are two LPM maps, for
-- IPv4 and IPv6: rules["10.0.0.0/8"] = { deny = true } works on the very next connection.
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local bpf = require "bpf"
local common = require "common"
local programs = require "netdeny.programs"

local parser = common.parser([[
Runs a command that may not connect to certain addresses, and shows what was refused. Needs root.
Without a command, creates its own network, changes the rules several times, and shows what each allows.]])
parser:argument("command", "what to run, after --"):args "*"
parser:option("--deny", "addresses and prefixes such as 192.0.2.0/24, 2001:db8::/32"):argname "LIST":init ""
parser:option("--allow", "exceptions. The longest matching prefix decides; others are allowed"):argname "LIST":init ""
parser:option("--seconds", "end the command after N seconds or at a signal", "60"):argname("N"):convert(common.seconds)
parser:flag("--json", "print a JSON object per address that was refused", false)
local options = parser:parse()

-- What happens to a connection to an address in the namespace, where nobody listens.
local function try(group, i)
  local output = common.run(group:command(("{ : </dev/tcp/198.18.%d.2/9; } 2>&1; true"):format(i)))
  return output:find "refused" and "allowed" or output:find "not permitted" and "denied" or output
end

-- Changes the rules, as Lua, and shows what they allow.
local function demo(rules, group)
  local net <close> = common.network(2) -- luacheck: ignore (is there meanwhile)
  print(("%-44s%-13s%s"):format("", "198.18.1.2", "198.18.2.2"))
  for _, step in ipairs {
    "-- no rule", 'rules["198.18.0.0/15"] = { deny = true }', 'rules["198.18.2.2/32"] = { deny = false }',
    'rules["198.18.0.0/15"] = nil',
  } do
    load(step, step, "t", { rules = rules })()
    print(("%-44s%-13s%s"):format(step, try(group, 1), try(group, 2)))
  end
  print()
end

-- Adds the rules of a list. A prefix without a length is an address.
local function add(rules4, rules6, list, deny)
  for prefix in list:gmatch "[^,]+" do
    local rules, bits = prefix:find ":" and rules6 or rules4, prefix:find ":" and 128 or 32
    rules[prefix:find "/" and prefix or prefix .. "/" .. bits] = { deny = deny }
  end
end

local function report(refused)
  local rows = {}
  for attempt, times in pairs(refused) do
    local n = attempt.version == 4 and 1 or 4
    attempt.address = bpf.format.ip(("=I4"):rep(n):pack(table.unpack(attempt.address, 1, n)))
    attempt.times, rows[#rows + 1] = times, attempt
  end
  table.sort(rows, function(a, b) return a.times > b.times or a.times == b.times and a.address < b.address end)
  local row = bpf.format.columns({ { name = "COMMAND", width = 16 }, { name = "ADDRESS", width = 15 },
    { name = "PORT" }, { name = "REFUSED" } }, { output = options.json and "json" or "text" })
  for _, r in ipairs(rows) do
    row(r.comm, r.address, r.port, r.times)
  end
  io.stderr:write(#rows == 0 and "Nothing was refused\n" or "")
end

common.main(function()
  local rules4 <close> = common.try(bpf.map.create(programs.RULES4))
  local rules6 <close> = common.try(bpf.map.create(programs.RULES6))
  local refused <close> = common.try(bpf.map.create(programs.REFUSED))
  add(rules4, rules6, options.deny, true)
  add(rules4, rules6, options.allow, false)
  local obj <close> = common.try(programs.load(rules4, rules6, refused))
  local group <close> = common.cgroup()
  for _, prog in pairs(obj.progs) do
    common.try(prog:attach_cgroup(group.path))
  end
  if options.command[1] then
    group:run(options.command, options.seconds)
  else
    common.interruptible(function() demo(rules4, group) end)
  end
  report(refused)
end)
